// Which forms of its kernels a device runs, where it has several with the same bits for a shape: measured by
// `ingot tune` in a model's own step, and kept in the user's cache folder, one entry for each device and
// thread count. A backend without an entry goes by its rules.
// An entry of another device or build is not taken, which is said.
//
// Thread safety: as calibrate.h.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "exec/tuning_file.h"

namespace ingot::exec {

/// $XDG_CACHE_HOME or ~/.cache, then ingot/tuning-v1.json. Empty where the environment names no folder.
std::string default_tuning_path();

struct TuningOptions {
  std::string path;  // of the file; empty: default_tuning_path()
  /// Gets one line, without an end, for each thing the user should know: why an entry is ignored, that the
  /// file cannot be written.
  std::function<void(std::string_view line)> notice = {};
};

/// Lets the backend use what the file has for it.
void load_tuning(backend::Backend& backend, const TuningOptions& options = {});
/// Adds to the file what was found, in place of what it has of the same shapes. Returns its path; empty: it
/// holds for this process only, which was said.
std::string keep_tuning(backend::Backend& backend, std::span<const backend::TunedForm> found,
                        const TuningOptions& options = {});

}  // namespace ingot::exec
