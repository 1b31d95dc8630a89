#include "api/graph_devices.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "backend/registry.h"
#include "base/check.h"

namespace ingot::api {
namespace {

// Every device that some build of Ingot has: to ask for one elsewhere is no mistake.
constexpr std::string_view kKnown[] = {"cpu", "cuda", "metal"};

}  // namespace

Devices find_devices(const CompileOptions& options) {
  if (options.devices.empty())
    fail(ErrorCode::invalid_argument, "devices: expected at least one, found none");
  const std::vector<std::string> built = backend::backend_names();
  Devices found;
  for (const std::string& name : options.devices) {
    if (std::count(options.devices.begin(), options.devices.end(), name) > 1)
      fail(ErrorCode::invalid_argument, "devices: expected each once, found '{}' twice", name);
    if (std::find(built.begin(), built.end(), name) == built.end()) {
      if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) {
        fail(ErrorCode::invalid_argument, "devices: expected some of {}, found '{}'", fmt::join(kKnown, ", "),
             name);
      }
      found.missing.push_back({name, fmt::format("not in this build, which has {}", fmt::join(built, ", "))});
      continue;
    }
    try {
      found.backends.push_back(backend::make_backend(name, {.threads = options.threads}));
      found.present.push_back({.backend = found.backends.back().get(), .name = name});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::invalid_argument) throw;
      found.missing.push_back({name, error.what()});
    }
  }
  if (found.present.empty()) {
    std::string reasons;
    for (const exec::PassedOver& device : found.missing)
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", device.device, device.reason);
    fail(ErrorCode::unsupported, "devices: expected one that is here, found none ({})", reasons);
  }
  return found;
}

}  // namespace ingot::api
