// The file that keeps calibrations: JSON in the user's cache folder, one entry for each device and thread
// count.
//
// Its bytes are untrusted: every number is checked against a range, and each entry against the hash that was
// stored with it. Thread safety: all functions from any thread; a write replaces the file as a whole.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "exec/calibrate.h"

namespace ingot::exec {

/// Changes with the meaning of the file's numbers; part of its name, too.
inline constexpr int kCalibrationVersion = 1;

/// What a rate of a real device lies between, GB/s or GFLOP/s; others are refused.
inline constexpr double kLeastRate = 1e-9;
inline constexpr double kMostRate = 1e9;

/// $XDG_CACHE_HOME or ~/.cache, then ingot/calibration-v1.json. Empty where the environment names no folder.
std::string default_calibration_path();

/// The canonical text of what a calibration is identified by: identity and costs, keys sorted, no spaces.
std::string canonical_json(const Calibration& calibration);

/// Without checking hashes every other rule holds still: for fuzzers.
enum class CheckHashes : uint8_t { no, yes };
/// Errors: invalid_file: what is wrong, without the path.
std::vector<Calibration> parse_calibrations(std::string_view text, CheckHashes hashes = CheckHashes::yes);
std::string calibrations_text(std::span<const Calibration> calibrations);

/// None if there is no such file. Errors: invalid_file, io; messages without the path.
std::optional<std::vector<Calibration>> read_calibrations(const std::string& path);
/// Makes missing folders; writes beside the file and renames. Errors: io; messages without the path.
void write_calibrations(const std::string& path, std::span<const Calibration> calibrations);

}  // namespace ingot::exec
