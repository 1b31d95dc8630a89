#include "text/merges.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "text/hash.h"

namespace ingot::text {
namespace {

// Up to here a scan for the lowest rank beats a heap (measured on GPT-2's vocabulary).
constexpr size_t kShortWord = 96;

}  // namespace

size_t MergeTable::hash(int32_t left, int32_t right) {
  return mix_hash((static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right)) *
                  0x9E3779B97F4A7C15U);
}

void MergeTable::reserve(size_t rules) {
  grow(std::bit_ceil(2 * rules + 2));
}

void MergeTable::grow(size_t slots) {
  const std::vector<Slot> old = std::exchange(slots_, {});
  slots_.resize(slots);
  used_ = 0;
  for (const Slot& slot : old) {
    if (slot.left >= 0) add(slot.left, slot.right, slot.merge);
  }
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  if (2 * (used_ + 1) > slots_.size()) grow(std::max<size_t>(16, slots_.size() * 2));
  const size_t mask = slots_.size() - 1;
  size_t at = hash(left, right) & mask;
  while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask;
  if (slots_[at].left < 0) ++used_;
  slots_[at] = {left, right, merge};
}

Merge MergeTable::find(int32_t left, int32_t right) const {
  if (slots_.empty()) return {};
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash(left, right) & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return slot.merge;
    if (slot.left < 0) return {};
  }
}

void MergeTable::merge_word(std::vector<int32_t>& symbols, MergeWork& work) const {
  if (symbols.size() < 2) return;
  work.next.resize(symbols.size());
  for (size_t i = 0; i + 1 < symbols.size(); ++i) work.next[i] = find(symbols[i], symbols[i + 1]);
  work.next.back() = {};
  if (symbols.size() <= kShortWord) {
    merge_short(symbols, work);
  } else {
    merge_long(symbols, work);
  }
}

void MergeTable::merge_short(std::vector<int32_t>& symbols, MergeWork& work) const {
  std::vector<Merge>& next = work.next;
  size_t count = symbols.size();
  while (true) {
    size_t best = 0;
    for (size_t i = 1; i < count; ++i) {
      if (next[i].rank < next[best].rank) best = i;
    }
    if (next[best].rank == UINT32_MAX) break;
    symbols[best] = next[best].id;
    std::copy(symbols.begin() + static_cast<ptrdiff_t>(best) + 2,
              symbols.begin() + static_cast<ptrdiff_t>(count),
              symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    std::copy(next.begin() + static_cast<ptrdiff_t>(best) + 2, next.begin() + static_cast<ptrdiff_t>(count),
              next.begin() + static_cast<ptrdiff_t>(best) + 1);
    --count;
    next[best] = best + 1 < count ? find(symbols[best], symbols[best + 1]) : Merge{};
    if (best > 0) next[best - 1] = find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(count);
}

// O(n log n): candidates wait in a heap; one is stale when the rule at its position has changed since.
void MergeTable::merge_long(std::vector<int32_t>& symbols, MergeWork& work) const {
  constexpr uint32_t kNone = UINT32_MAX;
  const auto count = static_cast<uint32_t>(symbols.size());
  auto& [next, left, right, heap] = work;
  left.resize(count);
  right.resize(count);
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    left[i] = i == 0 ? kNone : i - 1;
    right[i] = i + 1 == count ? kNone : i + 1;
    if (next[i].rank != UINT32_MAX) heap.push_back(uint64_t{next[i].rank} << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto propose = [&](uint32_t at) {
    next[at] = right[at] == kNone ? Merge{} : find(symbols[at], symbols[right[at]]);
    if (next[at].rank == UINT32_MAX) return;
    heap.push_back(uint64_t{next[at].rank} << 32 | at);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto at = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    if (next[at].rank != rank) continue;
    const uint32_t gone = right[at];
    symbols[at] = next[at].id;
    symbols[gone] = -1;
    next[gone] = {};
    right[at] = right[gone];
    if (right[at] != kNone) left[right[at]] = at;
    propose(at);
    if (left[at] != kNone) propose(left[at]);
  }
  std::erase(symbols, -1);
}

}  // namespace ingot::text
