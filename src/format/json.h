// JSON from untrusted bytes: depth-limited, errors that name the file.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace ingot::format {

/// Nesting allowed in any file Ingot reads; published checkpoints stay below 10.
inline constexpr int kMaxJsonDepth = 64;

/// Parses `text`. `name` stands at the front of every message.
/// Errors: invalid_file for malformed text, nesting beyond kMaxJsonDepth, or a key that an object repeats.
nlohmann::json parse_json(std::string_view text, std::string_view name);

/// Reads and parses a whole file. Errors: as above, not_found, io.
nlohmann::json read_json(const std::string& path);

/// Text from a file, for a message: control characters (terminal sequences) become '?', and it is cut between
/// characters to a readable length, as names in a file may be megabytes long.
std::string printable(std::string text);

/// `value` as text for a message, likewise.
std::string brief_json(const nlohmann::json& value);

}  // namespace ingot::format
