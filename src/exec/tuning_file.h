// The file that keeps which forms of kernels are fastest, one entry for each device and thread count. Its
// bytes are untrusted: every value is checked. Thread safety: all functions from any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exec/calibrate.h"

namespace ingot::exec {

/// Changes with the meaning of the file's text; part of its name, too.
inline constexpr int kTuningVersion = 1;

struct Tuning {
  CalibrationIdentity identity;
  std::vector<backend::TunedForm> forms;
};

/// Errors: invalid_file: what is wrong, without the path.
std::vector<Tuning> parse_tunings(std::string_view text);
std::string tunings_text(std::span<const Tuning> tunings);

}  // namespace ingot::exec
