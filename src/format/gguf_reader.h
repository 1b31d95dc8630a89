// GgufReader: a cursor over the bytes of a GGUF file that never leaves them.
//
// Ownership: borrows the bytes and the name. One thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {

class GgufReader {
 public:
  static_assert(std::endian::native == std::endian::little, "numbers are read as they stand in the file");

  GgufReader(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  std::string_view file() const { return file_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  /// The next bytes; `what` stands in the message where the file ends before.
  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left()) {
      invalid("{} of {} bytes at byte {} does not fit, the file has {}", what, count, position_,
              bytes_.size());
    }
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += taken.size();
    return taken;
  }

  template <typename Number>
  Number number(std::string_view what) {
    Number value;
    std::memcpy(&value, take(sizeof(Number), what).data(), sizeof(Number));
    return value;
  }

  /// A length and as many bytes.
  std::string_view string(std::string_view what) {
    const auto length = number<uint64_t>(what);
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// "gguf: FILE: …"; text from the file is made fit to print.
  template <typename... Args>
  [[noreturn]] void refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    const auto text = [&](const auto&... values) {
      return fmt::vformat(format, fmt::make_format_args(values...));
    };
    fail(code, "gguf: {}: {}", file_, text(shown(args)...));
  }
  template <typename... Args>
  [[noreturn]] void invalid(fmt::format_string<Args...> format, Args&&... args) const {
    refuse(ErrorCode::invalid_file, format, std::forward<Args>(args)...);
  }

 private:
  template <typename Value>
  static auto shown(const Value& value) {
    if constexpr (std::is_convertible_v<Value, std::string_view>) {
      return printable(std::string(std::string_view(value)));
    } else {
      return value;
    }
  }

  std::span<const std::byte> bytes_;
  std::string_view file_;
  size_t position_ = 0;
};

}  // namespace ingot::format
