// The few character classes the tokenizer asks about outside of regexes. Unicode 15 (utf8proc 2.8); pure
// functions.
#pragma once

namespace ingot::text {

/// General category Nd, Nl or No.
bool is_numeric(char32_t value);

/// ASCII punctuation and signs; beyond them general category P as of Unicode 8, the version that tokenizers'
/// pre-tokenizer "Punctuation" knows.
bool is_punctuation(char32_t value);

/// White_Space property.
bool is_whitespace(char32_t value);

/// What `\w` matches in UTS #18: Alphabetic, marks, Nd, connector punctuation, joiners.
bool is_word_character(char32_t value);

}  // namespace ingot::text
