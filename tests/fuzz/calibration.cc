// Any text is either refused with an Error, or becomes calibrations whose numbers are in range and whose text
// reads back the same.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "exec/calibration_file.h"
#include "ingot/error.h"

namespace {

using namespace ingot;
using exec::Calibration;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const exec::RateCurve& curve) {
  double before = 0;
  for (const exec::RateCurve::Point& point : curve.points) {
    require(point.size > before && point.rate >= exec::kLeastRate && point.rate <= exec::kMostRate);
    before = point.size;
  }
  for (const double size : {0.0, 1.0, 1e6, 1e30})
    require(std::isfinite(curve.at(size)) && curve.at(size) >= 0);
}

std::vector<Calibration> parse(std::string_view text) {
  try {
    return exec::parse_calibrations(text, exec::CheckHashes::no);  // which no fuzzer guesses
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_file) std::abort();
    return {};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<Calibration> calibrations = parse({reinterpret_cast<const char*>(data), size});
  for (const Calibration& calibration : calibrations) {
    require(calibration.identity.threads >= 1);
    check(calibration.costs.gbps);
    for (const exec::KernelCosts& kernel : calibration.costs.kernels) {
      check(kernel.gbps);
      check(kernel.gflops);
    }
  }
  const std::vector<Calibration> again = exec::parse_calibrations(exec::calibrations_text(calibrations));
  require(again.size() == calibrations.size());
  for (size_t i = 0; i < again.size(); ++i) require(again[i].hash() == calibrations[i].hash());
  return 0;
}
