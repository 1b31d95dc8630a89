#include "api/devices.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "api/options.h"
#include "backend/registry.h"
#include "base/check.h"
#include "base/log.h"
#include "exec/tuning.h"

namespace ingot::api {
namespace {

constexpr std::string_view kKnown[] = {"cpu", "cuda", "metal"};

void calibrate(Devices& devices) {
  for (exec::Device& device : devices.devices) {
    exec::CalibrationOptions options;
    options.notice = [](std::string_view line) { log().warn("{}", line); };
    devices.calibrations.push_back(
        std::make_unique<const exec::Calibration>(exec::load_or_calibrate(*device.backend, options)));
    device.costs = &devices.calibrations.back()->costs;
    device.calibration_hash = devices.calibrations.back()->hash();
  }
}

}  // namespace

std::span<const std::string_view> known_devices() {
  return kKnown;
}

Devices make_devices(const CompileOptions& options) {
  const std::vector<std::string> built = backend::backend_names();
  Devices devices;
  const bool is_automatic = options.devices.empty();
  for (const std::string& name : is_automatic ? built : options.devices) {
    std::string reason;
    if (std::find(built.begin(), built.end(), name) == built.end()) {
      reason = fmt::format("this build has {} only", fmt::join(built, ", "));
    } else {
      try {
        devices.backends.push_back(backend::make_backend(
            name, {.threads = options.threads, .pin = options.pin, .cap_threads = true}));
        continue;
      } catch (const Error& error) {
        // A driver or device that is not there, or one that nobody asked for and that others fill; anything
        // else is the caller's to hear.
        const bool is_absent = error.code() == ErrorCode::unsupported || error.code() == ErrorCode::not_found;
        const bool is_of_no_use =
            error.code() == ErrorCode::out_of_memory || error.code() == ErrorCode::device_failed;
        if (!is_absent && !(is_automatic && !options.strict && is_of_no_use)) throw;
        // A machine without the device is no news where nobody asked for it.
        if (is_automatic && error.code() == ErrorCode::not_found) continue;
        reason = error.what();
      }
    }
    if (options.strict && !is_automatic) {
      fail(ErrorCode::unsupported, "device: '{}' is not there: {} (strict: nothing is passed over)", name,
           reason);
    }
    devices.missing.push_back({.device = name, .reason = reason});
  }
  if (devices.backends.empty()) {
    fail(ErrorCode::unsupported, "device: expected one that is there, found {}: {}",
         fmt::join(options.devices, ", "), devices.missing.front().reason);
  }
  for (const auto& backend : devices.backends) {
    devices.devices.push_back(
        {.backend = backend.get(), .name = std::string(backend->name()), .costs = nullptr});
  }
  if (is_automatic) {
    std::vector<std::string> names;
    for (const exec::Device& device : devices.devices) names.push_back(device.name);
    check_uses(options, names);
  }
  devices.prefill_tokens =
      devices.backends.front()->limits().shares_host_memory ? kPrefillTokens : kFarPrefillTokens;
  for (const auto& backend : devices.backends)
    exec::load_tuning(*backend,
                      {.path = {}, .notice = [](std::string_view line) { log().warn("{}", line); }});
  if (devices.devices.size() > 1) calibrate(devices);  // with one there is nothing to route
  return devices;
}

}  // namespace ingot::api
