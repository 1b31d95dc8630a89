#include "format/json.h"

#include <unordered_set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"

namespace ingot::format {

using nlohmann::json;

namespace {

constexpr size_t kMessageBytes = 160;

}  // namespace

json parse_json(std::string_view text, std::string_view name) {
  std::vector<std::unordered_set<std::string>> keys;  // one set per object that is open, outermost first
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= kMaxJsonDepth) {
          fail(ErrorCode::invalid_file, "{}: JSON is nested deeper than {} levels", name, kMaxJsonDepth);
        }
        if (event == json::parse_event_t::object_start) keys.emplace_back();
        break;
      case json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second) {
          fail(ErrorCode::invalid_file, "{}: JSON object repeats the key '{}'", name,
               printable(parsed.get<std::string>()));
        }
        break;
      case json::parse_event_t::object_end:
        keys.pop_back();
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    fail(ErrorCode::invalid_file, "{}: not valid JSON: {}", name, printable(error.what()));
  }
}

json read_json(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

std::string printable(std::string text) {
  if (text.size() > kMessageBytes) {
    size_t end = kMessageBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text.resize(end);
    text += "…";
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

std::string brief_json(const json& value) {
  // A large container is named by its size: writing it out would cost as much as the file.
  if (value.is_structured() && value.size() > 16) {
    return fmt::format("{} of {} entries", value.is_array() ? "a list" : "an object", value.size());
  }
  return printable(value.dump());
}

}  // namespace ingot::format
