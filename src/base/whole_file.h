// Small files read and replaced as a whole: caches of what was measured. Thread safety: all functions from
// any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ingot {

/// $XDG_CACHE_HOME or ~/.cache, then ingot/NAME. Empty where the environment names no folder.
std::string cache_path(std::string_view name);

/// None if there is no such file. Errors: io; invalid_file if it is larger; messages without the path.
std::optional<std::string> read_whole_file(const std::string& path, size_t most_bytes);
/// Makes missing folders; writes beside the file and renames. Errors: io; messages without the path.
void replace_whole_file(const std::string& path, std::string_view text);

}  // namespace ingot
