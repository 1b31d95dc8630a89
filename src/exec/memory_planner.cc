#include "exec/memory_planner.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace ingot::exec {
namespace {

size_t aligned(size_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

}  // namespace

size_t place(std::span<Lifetime> blocks) {
  std::vector<size_t> by_size(blocks.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<size_t> placed;  // by offset
  size_t arena = 0;
  for (size_t index : by_size) {
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
    const auto where = std::upper_bound(placed.begin(), placed.end(), offset,
                                        [&](size_t value, size_t other) { return value < blocks[other].offset; });
    placed.insert(where, index);
  }
  return arena;
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
