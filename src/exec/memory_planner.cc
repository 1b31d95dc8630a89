#include "exec/memory_planner.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

namespace ingot::exec {
namespace {

size_t aligned(size_t bytes) {
  return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

/// Orders tried from each rule; few graphs need more than one.
constexpr int kTries = 40;

/// Places the blocks one after the other, each at the lowest free offset. Returns the arena's bytes.
size_t place_in_order(std::span<Lifetime> blocks, std::span<const size_t> order) {
  std::vector<size_t> placed;  // by offset
  size_t arena = 0;
  for (size_t index : order) {
    Lifetime& block = blocks[index];
    size_t offset = 0;
    for (size_t other_index : placed) {
      const Lifetime& other = blocks[other_index];
      if (other.last < block.first || block.last < other.first) continue;
      if (other.offset >= offset + aligned(block.bytes)) break;  // the gap before it is wide enough
      offset = std::max(offset, other.offset + aligned(other.bytes));
    }
    block.offset = offset;
    arena = std::max(arena, offset + aligned(block.bytes));
    const auto where =
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](size_t value, size_t other) { return value < blocks[other].offset; });
    placed.insert(where, index);
  }
  return arena;
}

}  // namespace

size_t place(std::span<Lifetime> blocks) {
  const auto length = [](const Lifetime& block) { return block.last - block.first; };
  const std::function<bool(const Lifetime&, const Lifetime&)> rules[] = {
      [](const Lifetime& a, const Lifetime& b) { return a.bytes > b.bytes; },
      [](const Lifetime& a, const Lifetime& b) {
        return a.first != b.first ? a.first < b.first : a.bytes > b.bytes;
      },
      [&](const Lifetime& a, const Lifetime& b) {
        return length(a) != length(b) ? length(a) > length(b) : a.bytes > b.bytes;
      },
  };
  const size_t least = peak_live_bytes(blocks);
  std::vector<size_t> order(blocks.size());
  std::vector<Lifetime> trial(blocks.begin(), blocks.end());
  size_t best = SIZE_MAX;
  for (const auto& rule : rules) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return rule(blocks[a], blocks[b]); });
    for (int i = 0; i < kTries && best > least; ++i) {
      const size_t arena = place_in_order(trial, order);
      if (arena < best) {
        best = arena;
        std::copy(trial.begin(), trial.end(), blocks.begin());
      }
      // The block on top had the worst place: next time it chooses first.
      const auto top = std::find_if(order.begin(), order.end(), [&](size_t block) {
        return trial[block].offset + aligned(trial[block].bytes) == arena;
      });
      if (top == order.end()) break;
      std::rotate(order.begin(), top, top + 1);
    }
  }
  return best;
}

size_t peak_live_bytes(std::span<const Lifetime> blocks) {
  int launches = 0;
  for (const Lifetime& block : blocks) launches = std::max(launches, block.last + 1);
  std::vector<size_t> live(static_cast<size_t>(launches));
  for (const Lifetime& block : blocks) {
    for (int i = block.first; i <= block.last; ++i) live[static_cast<size_t>(i)] += aligned(block.bytes);
  }
  return live.empty() ? 0 : *std::max_element(live.begin(), live.end());
}

}  // namespace ingot::exec
