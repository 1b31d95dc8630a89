// What the names in a GGUF file's `tokenizer.ggml.pre` stand for.
//
// A GGUF file names the checkpoint whose splitting rule its byte-level vocabulary was trained with, where a
// tokenizer.json spells the rule out. The table gives what the tokenizer.json of that checkpoint says. A name
// is listed only where that file is known: a rule that is nearly right gives plausible, wrong ids.
//
// Pure functions, thread safe.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ingot::text {

struct GgufPreTokenizer {
  nlohmann::json normalizer;  // in the words of tokenizer.json; null: none
  nlohmann::json pre_tokenizer;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

/// Nothing for a name that is not known.
std::optional<GgufPreTokenizer> find_gguf_pre_tokenizer(std::string_view name);

/// All known names, for messages.
std::string gguf_pre_tokenizer_names();

}  // namespace ingot::text
