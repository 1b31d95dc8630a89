// The devices that options ask for, as far as this build and machine have them.
//
// Owns the backends; used by one thread at a time, as they are.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exec/calibrate.h"
#include "exec/device.h"
#include "ingot/compile_options.h"

namespace ingot::api {

/// Names that --device takes, in any build.
std::span<const std::string_view> known_devices();

/// Prompt tokens of a step: enough to read each weight seldom, few enough that activations stay small; and
/// for a device of its own, which has more memory and hundreds of times as many units to keep busy.
inline constexpr int64_t kPrefillTokens = 256;
inline constexpr int64_t kFarPrefillTokens = 2048;

struct Devices {
  std::vector<std::unique_ptr<backend::Backend>> backends;  // by preference
  std::vector<exec::Device> devices;                        // the same, as plans see them
  std::vector<exec::PassedOver> missing;
  std::vector<std::unique_ptr<const exec::Calibration>> calibrations;  // of several devices: what routes
  int64_t prefill_tokens = 0;  // of a step: as many as the first device needs to be busy
};

/// Starts them; several are calibrated, which takes seconds on first use and says so. Errors: unsupported
/// where none is left or, with options.strict, where one is missing; invalid_argument for options outside
/// their range.
Devices make_devices(const CompileOptions& options);

}  // namespace ingot::api
