// What fuzzers of tokenizers require of every input that is not refused.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/error.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace ingot::text {

inline constexpr std::string_view kText =
    "The  king's 123\n\n caf\u00e9 \u4f60\u597d e\u0301 <e> \U0001F468\u200d\U0001F469 \xff\xe4";

inline void require(bool condition) {
  if (!condition) std::abort();
}

// Runs `use`; Errors that blame the input are fine, others are bugs.
template <typename Use>
bool accepted(Use use) {
  try {
    use();
    return true;
  } catch (const Error& error) {
    require(error.code() == ErrorCode::invalid_file || error.code() == ErrorCode::unsupported);
    return false;
  }
}

inline void check(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  if (!accepted([&] { ids = tokenizer.encode(text); })) return;  // a regex may give up
  for (const int32_t id : ids) {
    require(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size());
    tokenizer.id_to_token(id);
  }
  accepted([&] {
    const std::string whole = tokenizer.decode(ids, /*skip_special_tokens=*/false);
    require(valid_utf8_prefix(whole) == whole.size());
    StreamDecoder stream(tokenizer, /*skip_special_tokens=*/false);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string part = stream.push(id);
      require(valid_utf8_prefix(part) == part.size());
      streamed += part;
    }
    require(streamed + stream.finish() == whole);
  });
}

}  // namespace ingot::text
