// Calibration: what this machine's kernels take, measured once and kept.
//
// calibrate() runs op cases of several sizes on a backend, for a few seconds in all, and fits a DeviceCosts.
// load_or_calibrate() keeps the result in the user's cache folder (calibration_file.h) and measures again
// when it no longer fits: another device, thread count, instruction set or build, or a file that is damaged.
//
// Thread safety: none needed; nothing else may use the backend meanwhile.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "exec/cost_model.h"

namespace ingot::exec {

/// What a calibration holds for: if any of these differ, it is another machine's.
struct CalibrationIdentity {
  std::string device;       // the name users give
  std::string description;  // the processor
  int threads = 1;
  std::string instruction_set;
  std::string build;  // Ingot's version, the compiler, and the backend's kernels
  friend bool operator==(const CalibrationIdentity&, const CalibrationIdentity&) = default;
};

struct Calibration {
  CalibrationIdentity identity;
  DeviceCosts costs;
  double seconds = 0;   // that measuring took
  std::string path;     // of the file that holds it; empty: this process only
  bool is_new = false;  // measured now, not read

  /// FNV-1a of identity and costs as canonical JSON, 16 hexadecimal digits: explain prints it, plans carry
  /// it.
  std::string hash() const;
};

CalibrationIdentity identity_of(const backend::Backend& backend);
/// Why what was measured for `found` does not hold for `expected`, devices and threads aside; empty: it does.
std::string difference(const CalibrationIdentity& found, const CalibrationIdentity& expected);
/// Whether a file has one entry for both.
bool same_place(const CalibrationIdentity& a, const CalibrationIdentity& b);

/// Measures now. Errors: those of the backend.
Calibration calibrate(backend::Backend& backend);

struct CalibrationOptions {
  std::string path;    // of the file; empty: default_calibration_path()
  bool force = false;  // measure even if the file has what is asked for
  /// Gets one line, without an end, for each thing the user should know: that measuring starts, why a file is
  /// ignored, that it cannot be written.
  std::function<void(std::string_view line)> notice = {};
  Calibration (*measure)(backend::Backend& backend) = calibrate;  // tests count what it is asked for
};

/// The machine's calibration from the file; measured, and written, if it has none that holds.
Calibration load_or_calibrate(backend::Backend& backend, const CalibrationOptions& options = {});
/// The same, but nothing instead of measuring.
std::optional<Calibration> load_calibration(const backend::Backend& backend,
                                            const CalibrationOptions& options = {});

}  // namespace ingot::exec
