// The BPE model: words to ids.
//
// Symbols start as bytes (byte-level models) or as characters, where a character outside the vocabulary falls
// back to its bytes' tokens (<0x..>) or to the unknown token. Holds a reference to the Vocab, which must
// outlive it. Immutable; const methods are thread safe, each call with its own BpeWork.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/merges.h"
#include "text/settings.h"
#include "text/vocab.h"
#include "text/word_cache.h"

namespace ingot::text {

struct BpeWork {
  WordCache cache;
  MergeWork merge;
  std::vector<int32_t> symbols;
  std::string alphabet;  // a word in the byte alphabet
};

class Bpe {
 public:
  /// `settings`: the "model" object of tokenizer.json. `merges`: in the order of their ranks. `byte_level`:
  /// words come as raw bytes, to be taken for characters of the byte alphabet. Errors: unsupported,
  /// invalid_file.
  Bpe(const Settings& settings, const Vocab& vocab, std::span<const MergeRule> merges, bool byte_level);

  /// Appends the ids of one word. Precondition: valid UTF-8, not empty.
  void encode(std::string_view word, BpeWork& work, std::vector<int32_t>& ids) const;

 private:
  // How a character takes part in merges: the characters at the two ends of the symbols it starts as.
  struct Faces {
    char32_t first;
    char32_t last;
    bool known;  // false: it may become the unknown token, which can depend on its neighbours
  };

  bool find_bytes(const Vocab& vocab, bool byte_level);
  void add_merges(std::span<const MergeRule> merges);
  void index_characters();
  int32_t character_id(char32_t value) const;
  Faces faces(char32_t value) const;

  void encode_whole(std::string_view word, BpeWork& work) const;
  void encode_segments(std::string_view text, BpeWork& work, std::vector<int32_t>& ids) const;
  void encode_cached(std::string_view word, BpeWork& work, std::vector<int32_t>& ids) const;
  void first_symbols(std::string_view word, std::vector<int32_t>& symbols) const;

  const Vocab& vocab_;
  bool to_alphabet_;    // words come as raw bytes, the vocabulary has them in the byte alphabet
  bool bytes_ = false;  // symbols start as bytes
  bool ignore_merges_ = false;
  bool fuse_unknown_ = false;
  std::optional<int32_t> unknown_;
  MergeTable merges_;

  std::array<int32_t, 256> byte_ids_{};  // of the bytes, or of the fallback tokens <0x..>; -1 where missing
  bool falls_back_ = false;              // all fallback tokens are there
  // Ids of single characters, in pages of 256 code points; -1 where missing. Empty if symbols start as bytes.
  std::vector<std::unique_ptr<std::array<int32_t, 256>>> pages_;
  // One bit for the hash of each pair of characters that some merge brings together. Where two characters of
  // a text have none, no token spans them and the text may be cut there.
  std::vector<uint64_t> joints_;
};

}  // namespace ingot::text
