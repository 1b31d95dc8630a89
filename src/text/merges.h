// The merge rules of a BPE model, and their application to one word.
//
// A rule joins two neighbouring symbols into a new one; among all rules that apply to a word the one of
// lowest rank goes first, leftmost first among equals (Sennrich et al. 2016). Immutable once filled; const
// methods are thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ingot::text {

struct Merge {
  uint32_t rank = UINT32_MAX;  // UINT32_MAX: there is no such rule
  int32_t id = 0;              // of the joined symbol
};

/// A rule of a list in the order of ranks, as ids of the vocabulary.
struct MergeRule {
  int32_t left;
  int32_t right;
  int32_t product;
};

/// Buffers of merge_word() that keep their capacity.
struct MergeWork {
  std::vector<Merge> next;     // the rule for symbol i and its right neighbour
  std::vector<uint32_t> left;  // links between living symbols
  std::vector<uint32_t> right;
  std::vector<uint64_t> heap;  // rank << 32 | position
};

class MergeTable {
 public:
  void reserve(size_t rules);
  /// A later rule for the same pair replaces the earlier one, as in tokenizers.
  void add(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const;
  /// Asks for the memory that add() of this pair will touch.
  void prefetch(int32_t left, int32_t right) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash(left, right) & (slots_.size() - 1)]);
  }

  /// Applies all rules to `symbols` in place.
  void merge_word(std::vector<int32_t>& symbols, MergeWork& work) const;

 private:
  struct Slot {
    int32_t left = -1;  // -1: empty
    int32_t right = 0;
    Merge merge;
  };
  static size_t hash(int32_t left, int32_t right);
  void grow(size_t slots);
  void merge_short(std::vector<int32_t>& symbols, MergeWork& work) const;
  void merge_long(std::vector<int32_t>& symbols, MergeWork& work) const;

  std::vector<Slot> slots_;  // open addressing, a power of two
  size_t used_ = 0;
};

}  // namespace ingot::text
