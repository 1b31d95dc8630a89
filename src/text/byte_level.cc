#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace ingot::text {
namespace {

constexpr bool printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

constexpr char32_t kFirstExtra = 0x100;
constexpr char32_t kAlphabetEnd = 0x144;  // 68 bytes are not printable

constexpr std::array<char32_t, 256> kAlphabet = [] {
  std::array<char32_t, 256> out{};
  char32_t extra = kFirstExtra;
  for (int byte = 0; byte < 256; ++byte) {
    out[static_cast<size_t>(byte)] = printable(byte) ? static_cast<char32_t>(byte) : extra++;
  }
  return out;
}();

constexpr std::array<int16_t, kAlphabetEnd> kByteOf = [] {
  std::array<int16_t, kAlphabetEnd> out{};
  for (int16_t& byte : out) byte = -1;
  for (int16_t byte = 0; byte < 256; ++byte) out[kAlphabet[static_cast<size_t>(byte)]] = byte;
  return out;
}();

}  // namespace

char32_t byte_to_alphabet(uint8_t byte) {
  return kAlphabet[byte];
}

std::optional<uint8_t> alphabet_to_byte(char32_t value) {
  if (value >= kAlphabetEnd || kByteOf[value] < 0) return std::nullopt;
  return static_cast<uint8_t>(kByteOf[value]);
}

void append_alphabet(std::string& out, std::string_view text) {
  for (const char c : text) append_utf8(out, kAlphabet[static_cast<uint8_t>(c)]);
}

}  // namespace ingot::text
