// An object of an untrusted JSON file, read strictly: every value is checked, and messages say where it
// stands.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace ingot::exec {

/// Errors of all functions: invalid_file.
class JsonObject {
 public:
  using json = nlohmann::json;
  static constexpr size_t kMostText = 512;

  /// `where`: for messages.
  JsonObject(const json& value, std::string where) : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(ErrorCode::invalid_file, "{}: expected an object", where_);
  }

  const json& at(const char* key) const {
    const auto found = value_.find(key);
    if (found == value_.end()) fail(ErrorCode::invalid_file, "{}: expected '{}', found none", where_, key);
    return *found;
  }
  JsonObject object(const char* key) const { return {at(key), path(key)}; }
  const json& list(const char* key, size_t most) const {
    const json& value = at(key);
    if (!value.is_array() || value.size() > most)
      fail(ErrorCode::invalid_file, "{}: expected a list of at most {} entries", path(key), most);
    return value;
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kMostText)
      fail(ErrorCode::invalid_file, "{}: expected text of at most {} bytes", path(key), kMostText);
    return value.get<std::string>();
  }
  double number(const char* key, double least, double most) const {
    const json& value = at(key);
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= least && number <= most))
      fail(ErrorCode::invalid_file, "{}: expected a number from {} to {}", path(key), least, most);
    return number;
  }
  int integer(const char* key, int64_t least, int64_t most) const {
    const json& value = at(key);
    const bool is_valid = value.is_number_integer() && value >= least && value <= most;
    if (!is_valid)
      fail(ErrorCode::invalid_file, "{}: expected a whole number from {} to {}", path(key), least, most);
    return value.get<int>();
  }
  bool boolean(const char* key) const {
    if (!at(key).is_boolean()) fail(ErrorCode::invalid_file, "{}: expected true or false", path(key));
    return at(key).get<bool>();
  }
  std::string path(const char* key) const { return where_ + "." + key; }

 private:
  const json& value_;
  std::string where_;
};

/// A file of this version: {"version": …, …}. Errors: invalid_file.
inline nlohmann::json parse_versioned(std::string_view text, int version) {
  nlohmann::json file = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) fail(ErrorCode::invalid_file, "it is no JSON, or not all of it");
  if (JsonObject(file, "the file").at("version") != version)
    fail(ErrorCode::invalid_file, "expected version {}, found another", version);
  return file;
}

}  // namespace ingot::exec
