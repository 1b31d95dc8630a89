// The tokenizer section of a GGUF file (keys `tokenizer.ggml.*`) in the terms of tokenizer.json.
//
// Two kinds: "gpt2", byte-level BPE with merges and a named pre-tokenizer, and "llama", a SentencePiece BPE
// with scores. The vocabulary and the merges go straight into compact tables; only the settings are a JSON
// tree, so that both kinds of checkpoint share all that follows.
//
// Pure functions of the metadata, thread safe.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "format/gguf_metadata.h"
#include "text/added_tokens.h"
#include "text/merges.h"
#include "text/vocab.h"

namespace ingot::text {

struct GgufTokenizer {
  nlohmann::json settings;  // a tokenizer.json without added_tokens, model.vocab and model.merges
  Vocab vocab;
  std::vector<MergeRule> merges;
  std::vector<AddedToken> added;
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  bool has_chat_template = false;
};

/// Whether the file brings a vocabulary at all. Files made to measure speed come without
/// (`tokenizer.ggml.model` absent, "none" or "no_vocab").
bool has_vocabulary(const format::GgufMetadata& metadata);

/// `name` stands at the front of messages. Errors: invalid_file; unsupported for another kind or
/// pre-tokenizer, and where has_vocabulary() is false.
GgufTokenizer read_gguf_tokenizer(const format::GgufMetadata& metadata, std::string_view name);

}  // namespace ingot::text
