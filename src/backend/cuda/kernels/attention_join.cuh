// The pieces of one row and query head joined, by a team of 128 threads: part of any kernel that has such
// teams, with the same bits in each. The order of the sums depends on the number of pieces and the width of
// heads alone.
#pragma once

#include <cmath>

#include "backend/cuda/kernels/attention.h"

namespace ingot::cuda {

inline constexpr int kJoinTeam = 128;  // threads

namespace joining {

__device__ __forceinline__ void add(float& sum, float a, float weight) {
  sum = fmaf(weight, a, sum);
}
__device__ __forceinline__ void add(float4& sum, float4 a, float weight) {
  sum = {fmaf(weight, a.x, sum.x), fmaf(weight, a.y, sum.y), fmaf(weight, a.z, sum.z),
         fmaf(weight, a.w, sum.w)};
}

}  // namespace joining

/// out = the pieces of `head`, of [rows, heads], joined. T: float, or float4 where the width of heads allows.
/// `parts`: kJoinTeam of the team. What the pieces' kernel or phase wrote is seen by all of the team.
template <typename T, typename Barrier>
__device__ __forceinline__ void join_pieces(const PagedAttention& a, const SplitSums& sums, int64_t head,
                                            int splits, int thread, const Barrier& barrier, T* parts) {
  // Every warp for itself: the highest score, and the sum of all weights.
  const float2* stats = sums.stats + head * sums.most_splits;
  float max = -INFINITY;
  for (int i = thread % kWarp; i < splits; i += kWarp) max = fmaxf(max, __ldcg(stats + i).x);
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, other));
  float total = 0;
  for (int i = thread % kWarp; i < splits; i += kWarp) {
    const float2 of_piece = __ldcg(stats + i);
    total = fmaf(expf(of_piece.x - max), of_piece.y, total);
  }
#pragma unroll
  for (int other = kWarp / 2; other > 0; other /= 2)
    total = __fadd_rn(total, __shfl_xor_sync(0xffffffff, total, other));
  const float share = 1.0F / total;

  const int all_units = a.head_dim / static_cast<int>(sizeof(T) / sizeof(float));
  const int units = min(all_units, kJoinTeam);
  const T* mixed = reinterpret_cast<const T*>(sums.mixed) + head * sums.most_splits * all_units;
  T* out = reinterpret_cast<T*>(a.out) + head * all_units;
  const int ways = kJoinTeam / units;  // the pieces i, i + ways …
  const int way = thread / units;
  for (int first = 0; first < all_units; first += units) {
    const int unit = first + thread % units;
    T sum{};
    if (way < ways && unit < all_units) {
#pragma unroll 8
      for (int i = way; i < splits; i += ways)
        joining::add(sum, __ldcg(mixed + static_cast<int64_t>(i) * all_units + unit),
                     expf(__ldcg(stats + i).x - max));
    }
    barrier();  // the last parts are read
    parts[thread] = sum;
    barrier();
    if (way == 0 && unit < all_units) {
      T value{};
      for (int i = 0; i < min(ways, splits); ++i) joining::add(value, parts[i * units + thread], share);
      out[unit] = value;
    }
  }
}

}  // namespace ingot::cuda
