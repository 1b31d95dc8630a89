// GGUF bytes for tests, right or wrong on purpose: entries and tensors are written as asked for, the header
// counts them unless told otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "format/gguf_metadata.h"

namespace ingot::format {

template <typename Number>
std::string little_endian(Number number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

inline std::string gguf_string(std::string_view text) {
  return little_endian(uint64_t{text.size()}) + std::string(text);
}

class GgufBytes {
 public:
  uint32_t version = 3;
  size_t alignment = 32;
  std::optional<uint64_t> entry_count;   // in place of the true count
  std::optional<uint64_t> tensor_count;  // likewise

  GgufBytes& raw_entry(std::string_view key, uint32_t type, std::string_view value) {
    entries_ += gguf_string(key) + little_endian(type) + std::string(value);
    ++entries_written_;
    return *this;
  }
  GgufBytes& string(std::string_view key, std::string_view value) {
    return raw_entry(key, id(GgufType::string), gguf_string(value));
  }
  GgufBytes& boolean(std::string_view key, bool value) {
    return raw_entry(key, id(GgufType::boolean), little_endian(uint8_t{value}));
  }
  template <typename Number>
  GgufBytes& number(std::string_view key, Number value) {
    return raw_entry(key, id(type_of<Number>()), little_endian(value));
  }
  template <typename Number>
  GgufBytes& numbers(std::string_view key, const std::vector<Number>& values) {
    std::string bytes = little_endian(id(type_of<Number>())) + little_endian(uint64_t{values.size()});
    for (const Number value : values) bytes += little_endian(value);
    return raw_entry(key, id(GgufType::array), bytes);
  }
  GgufBytes& strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = little_endian(id(GgufType::string)) + little_endian(uint64_t{values.size()});
    for (const std::string& value : values) bytes += gguf_string(value);
    return raw_entry(key, id(GgufType::array), bytes);
  }

  /// Dimensions innermost first, as the format lists them. The data are appended at the next aligned offset,
  /// unless `offset` says where they are claimed to be.
  GgufBytes& tensor(std::string_view name, const std::vector<uint64_t>& dimensions, uint32_t type,
                    std::string_view data, std::optional<uint64_t> offset = std::nullopt) {
    data_.resize(aligned(data_.size()));
    descriptions_ += gguf_string(name) + little_endian(static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t dimension : dimensions) descriptions_ += little_endian(dimension);
    descriptions_ += little_endian(type) + little_endian(offset.value_or(data_.size()));
    data_ += data;
    ++tensors_written_;
    return *this;
  }

  /// Everything before the first byte of data, padded.
  std::string header() const {
    std::string bytes = "GGUF" + little_endian(version) +
                        little_endian(tensor_count.value_or(tensors_written_)) +
                        little_endian(entry_count.value_or(entries_written_)) + entries_ + descriptions_;
    bytes.resize(aligned(bytes.size()));
    return bytes;
  }
  std::string bytes() const { return header() + data_; }

 private:
  static uint32_t id(GgufType type) { return static_cast<uint32_t>(type); }
  size_t aligned(size_t size) const { return (size + alignment - 1) / alignment * alignment; }
  template <typename Number>
  static GgufType type_of() {
    if constexpr (std::is_floating_point_v<Number>)
      return sizeof(Number) == 4 ? GgufType::f32 : GgufType::f64;
    constexpr bool kSigned = std::is_signed_v<Number>;
    if constexpr (sizeof(Number) == 1) return kSigned ? GgufType::i8 : GgufType::u8;
    if constexpr (sizeof(Number) == 2) return kSigned ? GgufType::i16 : GgufType::u16;
    if constexpr (sizeof(Number) == 4) return kSigned ? GgufType::i32 : GgufType::u32;
    return kSigned ? GgufType::i64 : GgufType::u64;
  }

  std::string entries_;
  std::string descriptions_;
  std::string data_;
  uint64_t entries_written_ = 0;
  uint64_t tensors_written_ = 0;
};

}  // namespace ingot::format
