// Logging through spdlog, to standard error, quiet (warnings only) by default.
//
// Standard output belongs to the text a model writes. Only .cc files include this header: spdlog is large.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace ingot {

/// The logger of the library. Created on first use; thread safe.
spdlog::logger& log();

/// Sets the level by name: trace, debug, info, warning, error, off. Throws Error{invalid_argument} on another
/// name.
void set_log_level(std::string_view name);

}  // namespace ingot
