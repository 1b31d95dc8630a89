#include "ingot/calibrate.h"

#include "backend/registry.h"
#include "exec/calibrate.h"

namespace ingot {
namespace {

std::vector<MeasuredRate> points_of(const exec::RateCurve& curve) {
  std::vector<MeasuredRate> points;
  points.reserve(curve.points.size());
  for (const exec::RateCurve::Point& point : curve.points)
    points.push_back({.size = point.size, .rate = point.rate});
  return points;
}

}  // namespace

CalibrationReport calibrate(const CalibrateOptions& options) {
  const auto backend =
      backend::make_backend(options.device, {.threads = options.threads, .cap_threads = true});
  for (const std::string& note : backend->limits().notes) {
    if (options.notice) options.notice(note);
  }
  exec::CalibrationOptions how;
  how.force = options.force;
  how.notice = options.notice;
  const exec::Calibration calibration = exec::load_or_calibrate(*backend, how);
  const exec::DeviceCosts& costs = calibration.costs;
  CalibrationReport report{.device = calibration.identity.device,
                           .description = calibration.identity.description,
                           .threads = calibration.identity.threads,
                           .instruction_set = calibration.identity.instruction_set,
                           .build = calibration.identity.build,
                           .hash = calibration.hash(),
                           .path = calibration.path,
                           .seconds = calibration.seconds,
                           .is_new = calibration.is_new,
                           .launch_us = costs.launch_us,
                           .gbps = points_of(costs.gbps),
                           .gflops = {},
                           .shares_host_memory = costs.shares_host_memory,
                           .transfer_us = costs.transfer_us,
                           .transfer_gbps = costs.transfer_gbps,
                           .kernels = {}};
  report.gflops.reserve(costs.gflops.size());
  for (const exec::TypeRate& rate : costs.gflops) report.gflops.emplace_back(rate.dtype, rate.gflops);
  report.kernels.reserve(costs.kernels.size());
  for (const exec::KernelCosts& kernel : costs.kernels) {
    report.kernels.push_back({.op = kernel.op,
                              .kernel = kernel.kernel,
                              .weight = kernel.weight,
                              .layout = kernel.layout,
                              .launch_us = kernel.launch_us,
                              .gbps = points_of(kernel.gbps),
                              .gflops = points_of(kernel.gflops)});
  }
  return report;
}

}  // namespace ingot
