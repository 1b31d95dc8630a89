// UTF-8, one character at a time.
//
// Everything downstream of Tokenizer::encode works on valid UTF-8, so only the entry repairs text; the
// walking functions below trust their input. Pure functions, thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ingot::text {

struct CodePoint {
  char32_t value;
  uint32_t bytes;  // 1 to 4
};

/// The character that starts at `p`. Precondition: valid UTF-8.
inline CodePoint decode_utf8(const char* p) {
  const auto byte = [p](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {((lead & 0x1F) << 6) | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {((lead & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
  return {((lead & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F), 4};
}

/// The character that ends just before `end`. Preconditions: valid UTF-8, end > 0.
CodePoint decode_utf8_before(std::string_view text, size_t end);

void append_utf8(std::string& out, char32_t value);

enum class Utf8 { valid, invalid, incomplete };

struct Utf8Step {
  Utf8 kind;
  size_t bytes;  // of the character, or of the maximal ill-formed part that becomes one U+FFFD
};

/// Classifies the bytes at `pos` by the Unicode Standard's table 3-7. `incomplete`: the text ends inside a
/// character that is well formed so far.
Utf8Step scan_utf8(std::string_view text, size_t pos);

/// Length of the longest prefix that is valid UTF-8.
size_t valid_utf8_prefix(std::string_view text);

/// Each maximal ill-formed part becomes one U+FFFD, as the Unicode Standard recommends (section 3.9).
std::string replace_invalid_utf8(std::string_view text);

}  // namespace ingot::text
