// Typed access to one JSON object of tokenizer.json; every message names file, place, expected and found.
//
// A view: the JSON must outlive it. allow_only() refuses unknown keys, so that no option is ignored.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::text {

class Settings {
 public:
  /// `place` is for messages, for example "tokenizer.json: pre_tokenizer". Errors: invalid_file if not an
  /// object.
  Settings(const nlohmann::json& object, std::string place);

  const std::string& place() const { return place_; }
  /// The object's "type", empty where it has none.
  std::string type() const;

  bool has(std::string_view key) const;  // present and not null
  std::string string(std::string_view key) const;
  std::string string(std::string_view key, std::string_view fallback) const;
  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const;
  int64_t integer(std::string_view key) const;
  /// A string of exactly one character.
  char32_t character(std::string_view key) const;
  Settings object(std::string_view key) const;
  /// The objects of a list.
  std::vector<Settings> objects(std::string_view key) const;
  const nlohmann::json& value(std::string_view key) const;

  /// Refuses every key other than "type" and these. Errors: unsupported.
  void allow_only(std::initializer_list<std::string_view> keys) const;

  [[noreturn]] void wrong(std::string_view key, std::string_view expected) const;
  /// `kind`: "pre-tokenizer" and so on. Throws unsupported, naming this object's type.
  [[noreturn]] void unsupported_type(std::string_view kind, std::string_view supported) const;

 private:
  const nlohmann::json* object_;
  std::string place_;
};

}  // namespace ingot::text
