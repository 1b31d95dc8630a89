#include "exec/calibrate.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "exec/calibration_file.h"
#include "exec/measure_costs.h"

namespace ingot::exec {
namespace {

using backend::Backend;

/// FNV-1a of the kernels' names: another set of kernels needs other measurements.
uint64_t kernels_hash(const Backend& backend) {
  uint64_t value = 0xcbf29ce484222325U;
  for (const backend::Kernel& kernel : backend.kernels()) {
    for (const std::string_view name : {kernel.op, kernel.name}) {
      for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
      value = (value ^ 0xffU) * 0x100000001b3U;
    }
  }
  return value;
}

/// What the file holds for this machine, and all that it holds.
struct Lookup {
  std::string path;
  std::vector<Calibration> entries;
  std::optional<Calibration> found;
};

Lookup look_up(const CalibrationIdentity& identity, const CalibrationOptions& options) {
  Lookup lookup{
      .path = options.path.empty() ? default_calibration_path() : options.path, .entries = {}, .found = {}};
  const auto ignore = [&](std::string_view why) {
    if (options.notice) options.notice(fmt::format("calibration: {}: ignored: {}", lookup.path, why));
  };
  if (lookup.path.empty()) return lookup;
  try {
    if (auto entries = read_calibrations(lookup.path)) lookup.entries = std::move(*entries);
  } catch (const Error& error) {
    ignore(error.what());
    return lookup;
  }
  std::string others;
  for (const Calibration& entry : lookup.entries) {
    if (entry.identity.device != identity.device) continue;
    if (entry.identity.threads != identity.threads) {
      others += fmt::format("{}{}", others.empty() ? "" : " and ", entry.identity.threads);
      continue;
    }
    const std::string why = difference(entry.identity, identity);
    if (!why.empty()) {
      ignore(why);
      return lookup;
    }
    lookup.found = entry;
    lookup.found->path = lookup.path;
    return lookup;
  }
  if (!others.empty())
    ignore(fmt::format("it was made for {} threads, this run has {}", others, identity.threads));
  return lookup;
}

}  // namespace

std::string difference(const CalibrationIdentity& found, const CalibrationIdentity& expected) {
  const auto differ = [](std::string_view what, std::string_view made_for, std::string_view is) {
    return fmt::format("it was made for {} '{}', this is '{}'", what, made_for, is);
  };
  if (found.instruction_set != expected.instruction_set)
    return differ("instruction set", found.instruction_set, expected.instruction_set);
  if (found.description != expected.description)
    return differ("device", found.description, expected.description);
  if (found.build != expected.build) return differ("build", found.build, expected.build);
  return {};
}

bool same_place(const CalibrationIdentity& a, const CalibrationIdentity& b) {
  return a.device == b.device && a.threads == b.threads;
}

CalibrationIdentity identity_of(const Backend& backend) {
  const backend::Limits limits = backend.limits();
#ifdef __OPTIMIZE__
  constexpr std::string_view kOptimised = "optimised";
#else
  constexpr std::string_view kOptimised = "not optimised";
#endif
  return {.device = std::string(backend.name()),
          .description = limits.device,
          .threads = limits.threads,
          .instruction_set = limits.instruction_set,
          .build = fmt::format("ingot {}, compiler {}, {}, kernels {:016x}", INGOT_VERSION, __VERSION__,
                               kOptimised, kernels_hash(backend))};
}

Calibration calibrate(Backend& backend) {
  const auto start = std::chrono::steady_clock::now();
  Calibration calibration;
  calibration.identity = identity_of(backend);
  calibration.costs = measure_costs(backend);
  calibration.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  calibration.is_new = true;
  return calibration;
}

std::optional<Calibration> load_calibration(const Backend& backend, const CalibrationOptions& options) {
  return look_up(identity_of(backend), options).found;
}

Calibration load_or_calibrate(Backend& backend, const CalibrationOptions& options) {
  const CalibrationIdentity identity = identity_of(backend);
  Lookup lookup = look_up(identity, options);
  if (lookup.found && !options.force) return *std::move(lookup.found);
  const auto notice = [&](const std::string& line) {
    if (options.notice) options.notice(line);
  };
  notice(fmt::format("calibrating {}, about 5 s, once", identity.description));
  Calibration calibration = options.measure(backend);
  std::erase_if(lookup.entries,
                [&](const Calibration& entry) { return same_place(entry.identity, identity); });
  lookup.entries.push_back(calibration);
  if (lookup.path.empty()) {
    notice("calibration: neither XDG_CACHE_HOME nor HOME names a folder: it holds for this run only");
    return calibration;
  }
  try {
    write_calibrations(lookup.path, lookup.entries);
    calibration.path = lookup.path;
  } catch (const Error& error) {
    notice(fmt::format("calibration: {}: {}: it holds for this run only", lookup.path, error.what()));
  }
  return calibration;
}

}  // namespace ingot::exec
