// From the regexes of tokenizer.json to PCRE2's.
//
// The Hugging Face tokenizers package runs its patterns on Oniguruma with Ruby syntax. PCRE2 reads most of
// them alike; what differs is rewritten here: `\s` (PCRE2 adds U+180E), `\w`, `\d`, `\h`, `\v`, script names,
// `{n,m}+` (a repeated repeat in Ruby, possessive in PCRE2), `{,m}`. Ruby features outside the published
// patterns are refused by name.
#pragma once

#include <string>
#include <string_view>

namespace ingot::text {

/// `where` stands at the front of messages. Errors: unsupported (a construct that is not translated),
/// invalid_file.
std::string to_pcre2_syntax(std::string_view pattern, std::string_view where);

}  // namespace ingot::text
