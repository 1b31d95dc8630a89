#include "api/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "api/devices.h"
#include "base/check.h"

namespace ingot::api {
namespace {

void check_devices(const std::vector<std::string>& devices) {
  const auto known = known_devices();
  for (size_t i = 0; i < devices.size(); ++i) {
    if (std::find(known.begin(), known.end(), devices[i]) == known.end()) {
      fail(ErrorCode::invalid_argument, "device: expected one of {}, found '{}'", fmt::join(known, ", "),
           devices[i]);
    }
    if (std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) !=
        devices.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail(ErrorCode::invalid_argument, "device: expected each device once, found '{}' twice", devices[i]);
    }
  }
}

void check_listed(std::string_view option, const std::string& device,
                  const std::vector<std::string>& devices) {
  if (std::find(devices.begin(), devices.end(), device) != devices.end()) return;
  fail(ErrorCode::invalid_argument, "{}: expected a device of those to use ({}), found '{}'", option,
       fmt::join(devices, ", "), device);
}

}  // namespace

void check_uses(const CompileOptions& options, const std::vector<std::string>& devices) {
  for (const LayerRange& range : options.layers) check_listed("layers", range.device, devices);
  for (const auto& [device, bytes] : options.memory) check_listed("memory", device, devices);
}

void check(const CompileOptions& options) {
  check_devices(options.devices);
  if (!options.devices.empty()) check_uses(options, options.devices);  // else make_devices() does
}

void check(const LoadOptions& options) {
  check(options.compile);
  if (options.sequences < 1 || options.sequences > kMaxSequences) {
    fail(ErrorCode::invalid_argument, "sequences: expected 1 to {}, found {}", kMaxSequences,
         options.sequences);
  }
}

void check_layers(const CompileOptions& options, int64_t layers) {
  for (const LayerRange& range : options.layers) {
    if (range.last < layers) continue;
    fail(ErrorCode::invalid_argument, "layers: expected layers 0 to {} (the model's), found {}-{}",
         layers - 1, range.first, range.last);
  }
}

}  // namespace ingot::api
