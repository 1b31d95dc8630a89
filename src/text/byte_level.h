// GPT-2's byte alphabet: each of the 256 bytes has a printable character that stands for it in the vocabulary
// (Radford et al. 2019, encoder.py). Pure functions, thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ingot::text {

/// The character that stands for a byte: itself where printable in Latin-1, else one from U+0100 on.
char32_t byte_to_alphabet(uint8_t byte);

/// The byte that a character stands for, if it is in the alphabet.
std::optional<uint8_t> alphabet_to_byte(char32_t value);

/// Appends the characters that stand for the bytes of `text`.
void append_alphabet(std::string& out, std::string_view text);

}  // namespace ingot::text
