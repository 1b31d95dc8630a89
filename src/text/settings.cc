#include "text/settings.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace ingot::text {

using nlohmann::json;

Settings::Settings(const json& object, std::string place) : object_(&object), place_(std::move(place)) {
  if (!object.is_object()) {
    fail(ErrorCode::invalid_file, "{}: expected a JSON object, found {}", place_, object.type_name());
  }
}

bool Settings::has(std::string_view key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

const json& Settings::value(std::string_view key) const {
  const auto found = object_->find(key);
  if (found == object_->end())
    fail(ErrorCode::invalid_file, "{}: expected the key '{}', found none", place_, key);
  return *found;
}

void Settings::wrong(std::string_view key, std::string_view expected) const {
  std::string found = value(key).dump(-1, ' ', false, json::error_handler_t::replace);
  if (found.size() > 60) found = found.substr(0, 57) + "...";
  fail(ErrorCode::invalid_file, "{}: {}: expected {}, found {}", place_, key, expected, found);
}

std::string Settings::type() const {
  return has("type") ? string("type") : std::string();
}

std::string Settings::string(std::string_view key) const {
  if (!value(key).is_string()) wrong(key, "a string");
  return value(key).get<std::string>();
}

std::string Settings::string(std::string_view key, std::string_view fallback) const {
  return has(key) ? string(key) : std::string(fallback);
}

bool Settings::boolean(std::string_view key) const {
  if (!value(key).is_boolean()) wrong(key, "true or false");
  return value(key).get<bool>();
}

bool Settings::boolean(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

int64_t Settings::integer(std::string_view key) const {
  const json& found = value(key);
  if (!found.is_number_integer() || (found.is_number_unsigned() && found.get<uint64_t>() > INT64_MAX)) {
    wrong(key, "a whole number");
  }
  return found.get<int64_t>();
}

char32_t Settings::character(std::string_view key) const {
  const std::string text = string(key);
  if (text.empty() || decode_utf8(text.data()).bytes != text.size()) wrong(key, "one character");
  return decode_utf8(text.data()).value;
}

Settings Settings::object(std::string_view key) const {
  return Settings(value(key), fmt::format("{}.{}", place_, key));
}

std::vector<Settings> Settings::objects(std::string_view key) const {
  const json& list = value(key);
  if (!list.is_array()) wrong(key, "a list");
  std::vector<Settings> out;
  for (size_t i = 0; i < list.size(); ++i)
    out.emplace_back(list[i], fmt::format("{}.{}[{}]", place_, key, i));
  return out;
}

void Settings::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, unused] : object_->items()) {
    if (key == "type" || std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    fail(ErrorCode::unsupported, "{}: the option '{}' is not supported; supported are {}", place_, key,
         fmt::join(keys, ", "));
  }
}

void Settings::unsupported_type(std::string_view kind, std::string_view supported) const {
  fail(ErrorCode::unsupported, "{}: {} '{}' is not supported; supported are {}", place_, kind, type(),
       supported);
}

}  // namespace ingot::text
