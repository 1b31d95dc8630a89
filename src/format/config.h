// A JSON object of settings (config.json, generation_config.json) behind typed, ranged getters.
//
// Every getter throws Error{invalid_file} that names the file, the key, what was expected and what was found.
// A key that holds null counts as absent, as Hugging Face writes unset options that way. Integer getters
// refuse numbers with a fraction or an exponent.
//
// Ownership: cheap to copy, the parsed object is shared and never changes. Thread safety: const.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::format {

class Config {
 public:
  /// An object without keys, as for a file that is absent.
  Config();

  /// Parses `text`; `file` stands in every message. Errors: invalid_file.
  static Config parse(std::string_view text, std::string file);
  /// Reads a file. Errors: not_found, io, invalid_file.
  static Config read(const std::string& path);

  /// The file, and inside a nested object the key that leads there: "config.json: rope_scaling".
  const std::string& file() const { return file_; }
  std::vector<std::string> keys() const;
  /// Whether `key` is present and not null.
  bool has(std::string_view key) const;

  // The plain getter requires the key, `_or` gives `fallback` and `optional_` nullopt where it is absent. The
  // range includes its ends.
  int64_t get_int(std::string_view key, int64_t min, int64_t max) const;
  int64_t get_int_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  std::optional<int64_t> optional_int(std::string_view key, int64_t min, int64_t max) const;

  double get_double(std::string_view key, double min, double max) const;
  double get_double_or(std::string_view key, double fallback, double min, double max) const;
  std::optional<double> optional_double(std::string_view key, double min, double max) const;

  bool get_bool(std::string_view key) const;
  bool get_bool_or(std::string_view key, bool fallback) const;
  std::optional<bool> optional_bool(std::string_view key) const;

  std::string get_string(std::string_view key) const;
  std::string get_string_or(std::string_view key, std::string_view fallback) const;
  std::optional<std::string> optional_string(std::string_view key) const;

  /// One integer or a list of them (eos_token_id); empty where the key is absent.
  std::vector<int64_t> get_int_list(std::string_view key, int64_t min, int64_t max) const;
  /// A list of numbers; empty where the key is absent.
  std::vector<double> get_double_list(std::string_view key, double min, double max) const;
  /// A list of strings (architectures, layer_types); empty where the key is absent.
  std::vector<std::string> get_string_list(std::string_view key) const;
  /// A nested object (rope_scaling); its messages name this file and `key`.
  std::optional<Config> optional_object(std::string_view key) const;

  /// Throws Error{invalid_file} about `key` in this object's words: "FILE: key 'KEY': MESSAGE".
  [[noreturn]] void refuse(std::string_view key, std::string_view message) const;

 private:
  Config(std::shared_ptr<const nlohmann::json> object, std::string file);
  const nlohmann::json* find(std::string_view key) const;  // null where absent or JSON null
  [[noreturn]] void missing(std::string_view key, std::string_view expected) const;

  std::shared_ptr<const nlohmann::json> object_;
  std::string file_;
};

}  // namespace ingot::format
