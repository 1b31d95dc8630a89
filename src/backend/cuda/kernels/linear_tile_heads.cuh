// Heads of few rows, tile by tile, by the kernel that multiplies them (linear_heads.cu does all else).
#pragma once

#include "backend/cuda/kernels/linear_heads.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// Where a tile's outputs lie in a head. All of a tile are of one head.
struct TileOfHead {
  int part;
  int head;        // queries, then keys, then values
  int first;       // of the part, of the head
  int own;         // tile of the head
  bool is_halves;  // pairs are half a head apart

  /// The head's value that is output `o` of the tile.
  __device__ int value(int o, int outputs, int64_t pairs) const {
    if (!is_halves) return own * outputs + o;
    const int half = outputs / 2;
    return own * half + o % half + (o < half ? 0 : static_cast<int>(pairs));
  }
};
__device__ inline TileOfHead tile_of_head(const LinearHeads& h, const Tile& tile, int outputs) {
  const int dim = static_cast<int>(h.head_dim);
  const int before = tile.part == 0 ? 0 : static_cast<int>(tile.part == 1 ? h.heads : h.heads + h.kv_heads);
  const int in_part = tile.first_output / dim;
  const int head = before + in_part;
  return {tile.part, head, in_part * dim, tile.first_output % dim / outputs,
          h.table != nullptr && !h.is_interleaved && head < h.heads + h.kv_heads};
}

/// Rotates a tile's outputs of a row, of which each of so many neighbouring lanes has one, and writes them
/// where they belong; lanes with o >= outputs, or of no row, write nothing. Calls of whole warps. The
/// arithmetic is that of linear_heads.cu.
__device__ inline void place_output(const LinearHeads& h, const TileOfHead& tile, int o, int outputs, float y,
                                    int row = 0) {
  const bool is_wanted = o < outputs && row < h.rows;
  o %= outputs;
  const int value = tile.value(o, outputs, h.pairs);
  const bool is_value = tile.head >= h.heads + h.kv_heads;
  if (h.table != nullptr && !is_value) {
    const int pairs = static_cast<int>(h.pairs);
    const int pair = !tile.is_halves ? value / 2 : value < pairs ? value : value - pairs;
    const bool is_second = tile.is_halves ? o >= outputs / 2 : o % 2 != 0;
    const float other = __shfl_xor_sync(0xffffffffU, y, tile.is_halves ? outputs / 2 : 1);
    const float* cosines = h.table + (is_wanted ? row : 0) * 2 * h.pairs;
    const float cosine = cosines[pair];
    const float sine = cosines[h.pairs + pair];
    y = is_second ? __fmaf_rn(y, cosine, __fmul_rn(other, sine))
                  : __fmaf_rn(y, cosine, -__fmul_rn(other, sine));
  }
  if (!is_wanted) return;
  if (tile.head < h.heads) {
    h.q_out[(row * h.heads + tile.head) * h.head_dim + value] = y;
    return;
  }
  const int64_t at = place_in_cache(h, row, tile.head - h.heads - (is_value ? h.kv_heads : 0));
  if (at < 0) return;
  (is_value ? h.values : h.keys)[at + value] = y;
}

/// Of tile `tile` of all parts. kEnd: a usual one where has_usual_heads().
template <LinearEnd kEnd>
__device__ inline TileOfHead tile_of_head(const SkinnyArguments& a, const LinearHeads& h, int tile,
                                          int outputs) {
  if constexpr (kEnd == LinearEnd::any) return tile_of_head(h, tile_at(a, tile, outputs), outputs);
  const int dim = static_cast<int>(h.head_dim);  // a division is long
  const int heads = static_cast<int>(h.heads);
  const int not_values = heads + static_cast<int>(h.kv_heads);
  const int shift = __ffs(dim) - __ffs(outputs);  // of the tiles of a head
  const int head = tile >> shift;
  const int part = head < heads ? 0 : head < not_values ? 1 : 2;
  const int before = part == 0 ? 0 : part == 1 ? heads : not_values;
  return {part, head, (head - before) * dim, tile - (head << shift), part < 2};
}

/// place_output() of one row with usual heads, in two steps: what the end of a tile needs is asked for early.
struct UsualOutput {
  float* to = nullptr;  // null: nowhere
  float cosine = 0;
  float sine = 0;
  bool is_rotated = false;

  /// `cache`: place_in_cache() of the row's first head.
  __device__ void begin(const LinearHeads& h, const TileOfHead& tile, int o, int outputs, int64_t cache) {
    const int pairs = static_cast<int>(h.pairs);
    const int value = tile.value(o % outputs, outputs, pairs);
    is_rotated = tile.is_halves;
    if (is_rotated) {
      const int pair = value < pairs ? value : value - pairs;
      cosine = h.table[pair];
      sine = h.table[pairs + pair];
    }
    to = nullptr;
    if (o >= outputs) return;
    if (tile.part == 0) {
      to = h.q_out + (tile.first + value);
    } else if (cache >= 0) {
      to = (tile.part == 1 ? h.keys : h.values) + cache +
           (tile.first * static_cast<int>(h.page_tokens) + value);
    }
  }
  /// By whole warps.
  __device__ void write(int o, int outputs, float y) const {
    if (is_rotated) {
      const float other = __shfl_xor_sync(0xffffffffU, y, outputs / 2);
      y = o % outputs >= outputs / 2 ? __fmaf_rn(y, cosine, __fmul_rn(other, sine))
                                     : __fmaf_rn(y, cosine, -__fmul_rn(other, sine));
    }
    if (to != nullptr) *to = y;
  }
};

}  // namespace ingot::cuda
