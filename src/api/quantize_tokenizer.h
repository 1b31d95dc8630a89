// The tokenizer.json of a checkpoint as the tokenizer section of a GGUF file (keys `tokenizer.ggml.*`).
//
// GGUF knows two kinds of BPE: byte-level with merges, whose splitting rule is a published name, and
// SentencePiece's, whose merges follow from scores. A tokenizer that is neither is refused and what is in the
// way is named; small things that GGUF has no words for are notes.
//
// Pure functions, thread safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/generation_config.h"
#include "format/gguf_writer.h"

namespace ingot::api {

struct TokenizerSection {
  std::string model;                // "gpt2", "llama"; "none"
  std::string pre;                  // gpt2: the name of its pre-tokenizer; empty for llama
  std::vector<std::string> tokens;  // one for each row of the embedding
  std::vector<int32_t> types;       // of each token, as llama.cpp numbers them
  std::vector<float> scores;        // llama
  std::vector<std::string> merges;  // gpt2: "left right"
  std::optional<int32_t> bos;
  std::optional<int32_t> unknown;
  std::optional<int32_t> pad;
  std::vector<int32_t> ends;  // any of them ends the text; the first is EOS
  bool add_bos = false;
  bool add_eos = false;
  std::optional<bool> add_space_prefix;  // llama
  std::optional<std::string> chat_template;
  std::vector<std::string> notes;
};

/// Reads the tokenizer of a Hugging Face folder. `rows`: of the embedding. Errors: those of text::Tokenizer;
/// unsupported for what GGUF cannot express, naming it.
TokenizerSection read_tokenizer_section(const std::string& folder, int64_t rows,
                                        const format::GenerationConfig& generation);

void write_tokenizer_section(const TokenizerSection& section, format::GgufWriter& writer);

}  // namespace ingot::api
