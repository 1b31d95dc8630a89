#include "exec/calibration_file.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/whole_file.h"
#include "exec/identity_json.h"
#include "exec/json_object.h"

namespace ingot::exec {
namespace {

using nlohmann::json;

// Far beyond any machine; what exceeds them is damage.
constexpr size_t kMostBytes = size_t{4} << 20;
constexpr size_t kMostEntries = 256;
constexpr size_t kMostKernels = 4096;
constexpr size_t kMostPoints = 64;
constexpr double kMostMicroseconds = 1e9;
constexpr double kMostSize = 1e18;

constexpr auto kTypes = [] {
  std::array<DType, kDTypeCount> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = static_cast<DType>(i);
  return types;
}();

DType dtype_of(const JsonObject& object, const char* key) {
  const std::string name = object.text(key);
  for (DType dtype : kTypes) {
    if (to_string(dtype) == name) return dtype;
  }
  fail(ErrorCode::invalid_file, "{}: expected an element type", object.path(key));
}

RateCurve curve_of(const JsonObject& object, const char* key) {
  RateCurve curve;
  double before = 0;
  for (const json& entry : object.list(key, kMostPoints)) {
    const JsonObject point(entry, object.path(key));
    curve.points.push_back(
        {.size = point.number("size", 0, kMostSize), .rate = point.number("rate", kLeastRate, kMostRate)});
    if (!(curve.points.back().size > before))
      fail(ErrorCode::invalid_file, "{}: expected ascending sizes above 0", object.path(key));
    before = curve.points.back().size;
  }
  return curve;
}

json curve_json(const RateCurve& curve) {
  json list = json::array();
  for (const RateCurve::Point& point : curve.points)
    list.push_back({{"size", point.size}, {"rate", point.rate}});
  return list;
}

json costs_json(const DeviceCosts& costs) {
  json types = json::array();
  for (const TypeRate& rate : costs.gflops)
    types.push_back({{"type", to_string(rate.dtype)}, {"gflops", rate.gflops}});
  json kernels = json::array();
  for (const KernelCosts& kernel : costs.kernels) {
    kernels.push_back({{"op", kernel.op},
                       {"kernel", kernel.kernel},
                       {"weight", to_string(kernel.weight)},
                       {"layout", kernel.layout},
                       {"launch_us", kernel.launch_us},
                       {"gbps", curve_json(kernel.gbps)},
                       {"gflops", curve_json(kernel.gflops)}});
  }
  return {{"launch_us", costs.launch_us},
          {"gbps", curve_json(costs.gbps)},
          {"gflops", types},
          {"shares_host_memory", costs.shares_host_memory},
          {"transfer_us", costs.transfer_us},
          {"transfer_gbps", costs.transfer_gbps},
          {"kernels", kernels}};
}

DeviceCosts read_costs(const JsonObject& reader, const CalibrationIdentity& identity) {
  DeviceCosts costs;
  costs.device = identity.device;
  costs.description = identity.description;
  costs.launch_us = reader.number("launch_us", 0, kMostMicroseconds);
  costs.gbps = curve_of(reader, "gbps");
  for (const json& entry : reader.list("gflops", std::size(kTypes))) {
    const JsonObject rate(entry, "gflops");
    costs.gflops.push_back(
        {.dtype = dtype_of(rate, "type"), .gflops = rate.number("gflops", kLeastRate, kMostRate)});
  }
  if (costs.gbps.empty() || costs.gflops.empty())
    fail(ErrorCode::invalid_file, "costs: expected a bandwidth and an arithmetic rate of the device");
  costs.shares_host_memory = reader.boolean("shares_host_memory");
  costs.transfer_us = reader.number("transfer_us", 0, kMostMicroseconds);
  costs.transfer_gbps = reader.number("transfer_gbps", costs.shares_host_memory ? 0 : kLeastRate, kMostRate);
  for (const json& entry : reader.list("kernels", kMostKernels)) {
    const JsonObject kernel(entry, "kernels");
    costs.kernels.push_back({.op = kernel.text("op"),
                             .kernel = kernel.text("kernel"),
                             .weight = dtype_of(kernel, "weight"),
                             .layout = kernel.text("layout"),
                             .launch_us = kernel.number("launch_us", 0, kMostMicroseconds),
                             .gbps = curve_of(kernel, "gbps"),
                             .gflops = curve_of(kernel, "gflops")});
  }
  return costs;
}

/// FNV-1a, as 16 hexadecimal digits.
std::string fnv1a(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325U;
  for (char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return fmt::format("{:016x}", value);
}

Calibration read_entry(const json& value, CheckHashes hashes) {
  const JsonObject reader(value, "calibration");
  Calibration calibration;
  calibration.identity = read_identity(reader.object("identity"));
  calibration.costs = read_costs(reader.object("costs"), calibration.identity);
  calibration.seconds = reader.number("seconds", 0, kMostMicroseconds);
  const std::string hash = reader.text("hash");
  if (hashes == CheckHashes::yes && hash != calibration.hash())
    fail(ErrorCode::invalid_file, "calibration: its hash is not that of its content");
  return calibration;
}

}  // namespace

std::string default_calibration_path() {
  return cache_path(fmt::format("calibration-v{}.json", kCalibrationVersion));
}

std::string canonical_json(const Calibration& calibration) {
  const json value = {{"identity", identity_json(calibration.identity)},
                      {"costs", costs_json(calibration.costs)}};
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Calibration::hash() const {
  return fnv1a(canonical_json(*this));
}

std::vector<Calibration> parse_calibrations(std::string_view text, CheckHashes hashes) {
  const json file = parse_versioned(text, kCalibrationVersion);
  std::vector<Calibration> calibrations;
  for (const json& entry : JsonObject(file, "the file").list("calibrations", kMostEntries))
    calibrations.push_back(read_entry(entry, hashes));
  return calibrations;
}

std::string calibrations_text(std::span<const Calibration> calibrations) {
  json list = json::array();
  for (const Calibration& calibration : calibrations) {
    list.push_back({{"hash", calibration.hash()},
                    {"identity", identity_json(calibration.identity)},
                    {"seconds", calibration.seconds},
                    {"costs", costs_json(calibration.costs)}});
  }
  const json file = {{"version", kCalibrationVersion}, {"calibrations", list}};
  return file.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<std::vector<Calibration>> read_calibrations(const std::string& path) {
  const std::optional<std::string> text = read_whole_file(path, kMostBytes);
  if (!text) return std::nullopt;
  return parse_calibrations(*text);
}

void write_calibrations(const std::string& path, std::span<const Calibration> calibrations) {
  replace_whole_file(path, calibrations_text(calibrations));
}

}  // namespace ingot::exec
