// Remembers the ids of words, so that each distinct word of a document is merged once.
//
// Bounded: when full it starts over, which costs little on text that does not fit and nothing on text that
// does. Not thread safe: each Scratch has its own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::text {

class WordCache {
 public:
  /// Longer words (clauses of Chinese, say) rarely come back.
  static constexpr size_t kMaxWordBytes = 64;

  /// The ids of `word`, if known. `hash` is hash_bytes(word). The view is good until the next insert().
  std::optional<std::span<const int32_t>> find(std::string_view word, uint64_t hash) const;

  /// Preconditions: find() does not know the word; it has 1 to kMaxWordBytes bytes.
  void insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids);

 private:
  struct Entry {
    uint64_t hash;
    uint32_t word_offset;
    uint32_t ids_offset;
    uint16_t word_bytes;  // 0: the slot is empty
    uint16_t ids_count;
  };
  size_t slot_of(std::string_view word, uint64_t hash) const;
  void grow();

  std::vector<Entry> slots_;  // open addressing, a power of two
  size_t used_ = 0;
  std::string words_;
  std::vector<int32_t> ids_;
};

}  // namespace ingot::text
