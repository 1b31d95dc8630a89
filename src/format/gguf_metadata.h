// The metadata of a GGUF file behind typed, ranged getters, in the manner of Config.
//
// Integers of any width and sign serve an integer getter, and any number a double getter: writers differ in
// what they choose. Every getter throws Error{invalid_file} that names the file, the key, what was expected
// and what was found.
//
// Ownership: cheap to copy, the parsed table is shared and never changes; it borrows the bytes it was parsed
// from, as every string_view it gives out does. Thread safety: const.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ingot::format {

class GgufReader;

/// The types of metadata values, with the ids that stand in files.
enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// The name used in messages and tables: "u32", "string" …
std::string_view to_string(GgufType type);

/// The strings of an array, in place in the file; not necessarily UTF-8, of any length, zero bytes included.
class GgufStrings {
 public:
  GgufStrings() = default;
  size_t size() const { return strings_ ? strings_->size() : 0; }
  bool empty() const { return size() == 0; }
  std::string_view operator[](size_t index) const { return (*strings_)[index]; }

 private:
  friend class GgufMetadata;
  explicit GgufStrings(std::shared_ptr<const std::vector<std::string_view>> strings)
      : strings_(std::move(strings)) {}
  std::shared_ptr<const std::vector<std::string_view>> strings_;
};

class GgufMetadata {
 public:
  /// Without keys.
  GgufMetadata();
  /// Reads `count` entries where `reader` stands. Errors: invalid_file; unsupported for arrays of arrays.
  static GgufMetadata read(GgufReader& reader, uint64_t count);

  const std::string& file() const;
  /// In the order of the file.
  std::span<const std::string_view> keys() const;
  bool has(std::string_view key) const;
  /// The value's type; for an array, that of its elements with `is_array`. The key must be present.
  struct ValueType {
    GgufType type = GgufType::u8;
    bool is_array = false;
    uint64_t count = 1;  // elements
  };
  ValueType type(std::string_view key) const;
  /// The value as it stands in the file, its type id included. The key must be present.
  std::span<const std::byte> encoded(std::string_view key) const;

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

  std::string_view get_string(std::string_view key) const;
  std::string_view get_string_or(std::string_view key, std::string_view fallback) const;
  std::optional<std::string_view> optional_string(std::string_view key) const;

  // Arrays; empty where the key is absent.
  GgufStrings strings(std::string_view key) const;
  std::vector<int64_t> ints(std::string_view key) const;  // of any integer type, or bool
  std::vector<float> floats(std::string_view key) const;  // f32 or f64

  /// Throws Error{invalid_file} about `key`: "FILE: key 'KEY': MESSAGE".
  [[noreturn]] void refuse(std::string_view key, std::string_view message) const;

 private:
  struct Value;
  struct Table;
  explicit GgufMetadata(std::shared_ptr<const Table> table) : table_(std::move(table)) {}
  const Value* find(std::string_view key) const;  // null where absent
  [[noreturn]] void missing(std::string_view key, std::string_view expected) const;
  [[noreturn]] void mismatch(std::string_view key, std::string_view expected, const Value& found) const;

  std::shared_ptr<const Table> table_;
};

}  // namespace ingot::format
