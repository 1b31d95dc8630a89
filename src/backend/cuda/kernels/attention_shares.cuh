// The pieces of one row and key head joined: groups of kJoinedAtOnce pieces, then the groups, by warps which
// have a share of the heads' dimensions each. The order of sums depends on the number of pieces alone.
#pragma once

#include <cmath>

#include "backend/cuda/kernels/attention_piece.cuh"

namespace ingot::cuda {

/// What a warp joins of a group of pieces: the same vectors, of one head, of all of them.
template <typename S>
struct alignas(16) Share {
  static constexpr int kAll = S::kHeads * S::kVectors;
  static constexpr int kVectors = kAll > kJoinedAtOnce ? kAll / kJoinedAtOnce : 1;
  static constexpr int kBytes = kVectors * 16 + 8;  // of a piece
  static_assert(kVectors <= kWarp && S::kVectors % kVectors == 0);

  float4 mixed[kJoinedAtOnce][kVectors];
  float2 stats[kJoinedAtOnce];
};

namespace share {

/// Softmaxes in progress joined, one after the other.
struct Joined {
  float4 mixed;
  float max;
  float sum;
};
/// By a warp. `stats(i)`: of the i-th; `mixed(i)`: a lane's four of its values. kJoinedAtOnce are on their
/// way together, and their weights are found by a lane each.
template <typename Stats, typename Mixed>
__device__ __forceinline__ Joined join(int count, Stats&& stats, Mixed&& mixed) {
  constexpr unsigned kAll = 0xffffffff;
  const int own = static_cast<int>(threadIdx.x) % kJoinedAtOnce;
  float4 values[kJoinedAtOnce];
  float2 of;
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < kJoinedAtOnce; ++i) values[i] = mixed(min(first + i, count - 1));
    of = stats(min(first + own, count - 1));
  };
  load(0);
  float max = of.x;
#pragma unroll 1
  for (int first = kJoinedAtOnce; first < count; first += kJoinedAtOnce)
    max = fmaxf(max, stats(min(first + own, count - 1)).x);
#pragma unroll
  for (int other = 1; other < kJoinedAtOnce; other *= 2) max = fmaxf(max, __shfl_xor_sync(kAll, max, other));
  Joined joined{{0, 0, 0, 0}, max, 0};
#pragma unroll 1
  for (int first = 0;;) {
    const float weight = first + own < count ? piece::rescale(of.x, max) : 0;
    joined.sum = fmaf(weight, of.y, joined.sum);
#pragma unroll
    for (int i = 0; i < kJoinedAtOnce; ++i) {
      const float of_piece = __shfl_sync(kAll, weight, i);
      if (first + i < count) joined.mixed = piece::add(joined.mixed, values[i], of_piece);
    }
    first += kJoinedAtOnce;
    if (first >= count) break;
    load(first);
  }
#pragma unroll
  for (int other = 1; other < kJoinedAtOnce; other *= 2)
    joined.sum = __fadd_rn(joined.sum, __shfl_xor_sync(kAll, joined.sum, other));
  return joined;
}

}  // namespace share

}  // namespace ingot::cuda
