// The end of a tile of linear_batch_kernel.cuh whose outputs are heads: pairs are rotated, and heads written
// where they belong, with the arithmetic of linear_heads.cuh.
#pragma once

#include "backend/cuda/kernels/linear_batch_sums.cuh"
#include "backend/cuda/kernels/linear_heads.cuh"

namespace ingot::cuda {

/// Four rows of a pair of outputs that a thread finishes.
struct HeadItem {
  float* to[4] = {};  // of each row, where the first belongs; null: nowhere
  float cosine[4] = {1, 1, 1, 1};
  float sine[4] = {};
  int distance = 0;  // of the second from the first
  bool is_rotated = false;
};

#if __CUDA_ARCH__ >= 900

/// Pair i of this rank: asked for before the sums are there. Every thread has at most one.
template <class T>
__device__ __forceinline__ HeadItem head_item_of(const BatchArguments& a, const Tile& tile, int rank, int i) {
  static_assert(T::kItems / 2 <= T::kMultiplying);
  HeadItem item;
  const LinearHeads& h = a.heads;
  const int run = i / (T::kFours * kWarp) * 2 + rank * kPieceRows / kRunPairs;  // of the tile
  const int first = tile.first_output + run * kRunRows;
  if (i >= T::kItems / 2 || run * kRunRows >= a.heights.outputs ||
      first >= a.skinny.linear.parts[tile.part].outputs)
    return item;
  const int lane = i % kWarp;
  const RunOfPairs pairs(first / kRunRows, a.runs_log2);
  const int pair = pairs.first + rank * kPieceRows % kRunPairs + lane / 4;
  const int first_row = i / kWarp % T::kFours * 16 + lane % 4 * 2;
  item.distance = static_cast<int>(h.pairs);
  item.is_rotated = tile.part < 2;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int row = first_row + r % 2 + r / 2 * 8;
    if (row >= h.rows) continue;
    if (item.is_rotated) {
      const float* cosines = h.table + row * 2 * h.pairs;
      item.cosine[r] = cosines[pair];
      item.sine[r] = cosines[h.pairs + pair];
    }
    if (tile.part == 0) {
      item.to[r] = h.q_out + (row * h.heads + pairs.head) * h.head_dim + pair;
      continue;
    }
    const int64_t at = place_in_cache(h, row, pairs.head);
    if (at >= 0) item.to[r] = (tile.part == 1 ? h.keys : h.values) + at + pair;
  }
  return item;
}

template <class T>
__device__ __forceinline__ void finish_head_item(const HeadItem& item, const char* sums, int i) {
  if (i >= T::kItems / 2) return;
  constexpr int kSourceFours = T::kFours * kWarp;
  const int four = i % kSourceFours;
  const int place = 2 * (i - four) + four;
  const float4 low = add_groups<T>(sums, place);
  const float4 high = add_groups<T>(sums, place + kSourceFours);
  const float firsts[4] = {low.x, low.y, low.z, low.w};
  const float seconds[4] = {high.x, high.y, high.z, high.w};
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if (item.to[r] == nullptr) continue;
    float first = firsts[r];
    float second = seconds[r];
    if (item.is_rotated) {
      first = __fmaf_rn(firsts[r], item.cosine[r], -__fmul_rn(seconds[r], item.sine[r]));
      second = __fmaf_rn(seconds[r], item.cosine[r], __fmul_rn(firsts[r], item.sine[r]));
    }
    item.to[r][0] = first;
    item.to[r][item.distance] = second;
  }
}

#endif

}  // namespace ingot::cuda
