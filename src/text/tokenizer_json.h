// The parts of a tokenizer.json, read in one pass.
//
// A published file is up to 17 MB of vocabulary and merges around a few KB of settings. Those two lists go
// straight into compact tables; only the settings become a JSON tree, with the same limits as
// format::parse_json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocab.h"

namespace ingot::text {

/// A list of strings in one block.
class StringList {
 public:
  void add(std::string_view text) {
    text_.append(text);
    ends_.push_back(text_.size());
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

struct TokenizerJson {
  nlohmann::json
      settings;  // the root object without model.vocab and model.merges where these have the forms of BPE
  bool has_vocab = false;
  Vocab vocab;
  bool has_merges = false;
  StringList merges;  // left and right part by turns
};

/// `name` stands at the front of messages. Errors: invalid_file for malformed JSON, nesting beyond
/// format::kMaxJsonDepth, a repeated key, a vocabulary or merges that break their form.
TokenizerJson read_tokenizer_json(std::string_view text, std::string_view name);

}  // namespace ingot::text
