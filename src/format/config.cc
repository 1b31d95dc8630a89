#include "format/config.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {

using nlohmann::json;

namespace {

// What a getter expects, in words.
std::string integer_in(int64_t min, int64_t max) {
  return fmt::format("an integer between {} and {}", min, max);
}
std::string number_in(double min, double max) {
  return fmt::format("a number between {} and {}", min, max);
}

// The integer in `value`, or nullopt for another type or a value outside the range.
std::optional<int64_t> integer(const json& value, int64_t min, int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) return std::nullopt;
  const auto number = value.get<int64_t>();
  if (number < min || number > max) return std::nullopt;
  return number;
}

[[noreturn]] void mismatch(const Config& config, std::string_view key, std::string_view expected,
                           const json& found) {
  config.refuse(key, fmt::format("expected {}, found {}", expected, brief_json(found)));
}

}  // namespace

Config::Config() : object_(std::make_shared<const json>(json::object())) {}

Config::Config(std::shared_ptr<const json> object, std::string file)
    : object_(std::move(object)), file_(std::move(file)) {
  if (!object_->is_object()) {
    fail(ErrorCode::invalid_file, "{}: expected a JSON object, found {}", file_, brief_json(*object_));
  }
}

Config Config::parse(std::string_view text, std::string file) {
  auto object = std::make_shared<const json>(parse_json(text, file));
  return {std::move(object), std::move(file)};
}

Config Config::read(const std::string& path) {
  return {std::make_shared<const json>(read_json(path)), path};
}

std::vector<std::string> Config::keys() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_->items()) names.push_back(name);
  return names;
}

const json* Config::find(std::string_view key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool Config::has(std::string_view key) const {
  return find(key) != nullptr;
}

void Config::refuse(std::string_view key, std::string_view message) const {
  fail(ErrorCode::invalid_file, "{}: key '{}': {}", file_, printable(std::string(key)), message);
}

void Config::missing(std::string_view key, std::string_view expected) const {
  refuse(key, fmt::format("expected {}, found no such key", expected));
}

int64_t Config::get_int(std::string_view key, int64_t min, int64_t max) const {
  if (const auto value = optional_int(key, min, max)) return *value;
  missing(key, integer_in(min, max));
}

int64_t Config::get_int_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const {
  return optional_int(key, min, max).value_or(fallback);
}

std::optional<int64_t> Config::optional_int(std::string_view key, int64_t min, int64_t max) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto number = integer(*value, min, max)) return number;
  mismatch(*this, key, integer_in(min, max), *value);
}

double Config::get_double(std::string_view key, double min, double max) const {
  if (const auto value = optional_double(key, min, max)) return *value;
  missing(key, number_in(min, max));
}

double Config::get_double_or(std::string_view key, double fallback, double min, double max) const {
  return optional_double(key, min, max).value_or(fallback);
}

std::optional<double> Config::optional_double(std::string_view key, double min, double max) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (number >= min && number <= max) return number;
  }
  mismatch(*this, key, number_in(min, max), *value);
}

bool Config::get_bool(std::string_view key) const {
  if (const auto value = optional_bool(key)) return *value;
  missing(key, "true or false");
}

bool Config::get_bool_or(std::string_view key, bool fallback) const {
  return optional_bool(key).value_or(fallback);
}

std::optional<bool> Config::optional_bool(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) mismatch(*this, key, "true or false", *value);
  return value->get<bool>();
}

std::string Config::get_string(std::string_view key) const {
  if (auto value = optional_string(key)) return *std::move(value);
  missing(key, "a string");
}

std::string Config::get_string_or(std::string_view key, std::string_view fallback) const {
  auto value = optional_string(key);
  return value ? *std::move(value) : std::string(fallback);
}

std::optional<std::string> Config::optional_string(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) mismatch(*this, key, "a string", *value);
  return value->get<std::string>();
}

std::vector<int64_t> Config::get_int_list(std::string_view key, int64_t min, int64_t max) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  std::vector<int64_t> numbers;
  const auto add = [&](const json& entry) {
    const auto number = integer(entry, min, max);
    if (!number) mismatch(*this, key, integer_in(min, max) + ", or a list of them", entry);
    numbers.push_back(*number);
  };
  if (value->is_array()) {
    for (const json& entry : *value) add(entry);
  } else {
    add(*value);
  }
  return numbers;
}

std::vector<double> Config::get_double_list(std::string_view key, double min, double max) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  const std::string expected = "a list of numbers, each " + number_in(min, max);
  if (!value->is_array()) mismatch(*this, key, expected, *value);
  std::vector<double> numbers;
  for (const json& entry : *value) {
    if (!entry.is_number()) mismatch(*this, key, expected, entry);
    numbers.push_back(entry.get<double>());
    if (!(numbers.back() >= min && numbers.back() <= max)) mismatch(*this, key, expected, entry);
  }
  return numbers;
}

std::vector<std::string> Config::get_string_list(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) mismatch(*this, key, "a list of strings", *value);
  std::vector<std::string> strings;
  for (const json& entry : *value) {
    if (!entry.is_string()) mismatch(*this, key, "a list of strings", entry);
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

std::optional<Config> Config::optional_object(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) mismatch(*this, key, "an object", *value);
  // Shares the whole document: the nested object lives inside it.
  return Config(std::shared_ptr<const json>(object_, value), fmt::format("{}: {}", file_, key));
}

}  // namespace ingot::format
