// Attention for prompts in f16: some sequences and key heads at a time, as the workspace allows.
#include "backend/cuda/kernels/attention_f16.h"

#include <algorithm>

namespace ingot::cuda {
namespace {

constexpr int64_t kCounterBytes = 128;

int64_t tiles_of_sequence(const PagedAttention& a) {
  return divide_up(int64_t{a.pages} * a.page_tokens, kF16TileKeys);
}
/// Of one sequence and key head.
int64_t bytes_of_head(const PagedAttention& a) {
  return tiles_of_sequence(a) * (a.head_dim == 64 ? F16Tile<64>::kBytes : F16Tile<128>::kBytes);
}

}  // namespace

// The largest shapes of a bucket need the most: what is taken never exceeds either term.
size_t f16_attention_workspace(const PagedAttention& a, int64_t most_bytes) {
  const int64_t head = bytes_of_head(a);
  const int64_t tiles = std::min(std::max(head, most_bytes), head * a.kv_heads * a.sequences);
  return static_cast<size_t>(kCounterBytes + tiles);
}

void run_attention_f16(const Gpu& gpu, const PagedAttention& a, void* workspace, int64_t most_bytes) {
  const int64_t at_once = std::max<int64_t>(1, most_bytes / std::max<int64_t>(1, bytes_of_head(a)));
  const int heads = static_cast<int>(std::min<int64_t>(at_once, a.kv_heads));
  const auto sequences =
      static_cast<int>(std::clamp<int64_t>(at_once / a.kv_heads, 1, std::max(a.sequences, 1)));
  F16Pass pass{.attention = a,
               .tiles = static_cast<char*>(workspace) + kCounterBytes,
               .begun = static_cast<int*>(workspace),
               .tiles_of_sequence = static_cast<int>(tiles_of_sequence(a))};
  int first = 0;
  do {  // at least once: rows of no sequence become zero
    pass.attention.sequences = std::min(sequences, a.sequences - first);
    pass.attention.seq_start = a.seq_start + first;
    pass.attention.context_len = a.context_len + first;
    pass.attention.block_table = a.block_table + int64_t{first} * a.pages;
    for (pass.first_head = 0; pass.first_head < a.kv_heads; pass.first_head += heads) {
      pass.heads = std::min(heads, a.kv_heads - pass.first_head);
      pass.clears_padding = first + pass.attention.sequences >= a.sequences && pass.first_head == 0;
      if (pass.has_tiles()) run_f16_tiles(gpu, pass);
      run_f16_pass(gpu, pass);
    }
    first += sequences;
  } while (first < a.sequences);
}

}  // namespace ingot::cuda
