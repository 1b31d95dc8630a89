// The pieces of one row and key head joined by the blocks of a cluster (sm_90), each of which has a piece: it
// sends every other block what that one joins, a share of the heads' dimensions. Rows of more pieces have
// several such groups, which are joined through memory by who comes last to a share. The order of sums
// depends on the number of pieces alone.
#pragma once

#include <cmath>

#include "backend/cuda/kernels/attention_piece.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"

namespace ingot::cuda {

/// What is joined together of a unit: the same vectors, of one head, of all pieces. Of `sharing` blocks that
/// have a unit's pieces, each joins the shares rank, rank + sharing …
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

__device__ __forceinline__ uint32_t address_of_rank(const void* shared, int rank) {
  return cuda::address_of_rank(static_cast<uint32_t>(__cvta_generic_to_shared(shared)), rank);
}
/// Adds to a count: what this thread and those it has met at a barrier wrote before, others see that count
/// later, and the other way round.
__device__ __forceinline__ uint32_t count_up(uint32_t* count) {
  uint32_t before = 0;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
  return before;
}

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
  float max = -INFINITY;
#pragma unroll 1
  for (int first = 0; first < count; first += kJoinedAtOnce)
    max = fmaxf(max, stats(min(first + own, count - 1)).x);
#pragma unroll
  for (int other = 1; other < kJoinedAtOnce; other *= 2) max = fmaxf(max, __shfl_xor_sync(kAll, max, other));
  Joined joined{{0, 0, 0, 0}, max, 0};
#pragma unroll 1
  for (int first = 0; first < count; first += kJoinedAtOnce) {
    float4 values[kJoinedAtOnce];
#pragma unroll
    for (int i = 0; i < kJoinedAtOnce; ++i) values[i] = mixed(min(first + i, count - 1));
    const float2 of = stats(min(first + own, count - 1));
    const float weight = first + own < count ? piece::rescale(of.x, max) : 0;
    joined.sum = fmaf(weight, of.y, joined.sum);
#pragma unroll
    for (int i = 0; i < kJoinedAtOnce; ++i) {
      const float of_piece = __shfl_sync(kAll, weight, i);
      if (first + i < count) joined.mixed = piece::add(joined.mixed, values[i], of_piece);
    }
  }
#pragma unroll
  for (int other = 1; other < kJoinedAtOnce; other *= 2)
    joined.sum = __fadd_rn(joined.sum, __shfl_xor_sync(kAll, joined.sum, other));
  return joined;
}

}  // namespace share

/// A share of all groups of a row's pieces joined, by a warp, and written where that is wanted; `head`: of
/// [rows, heads].
template <typename S>
__device__ __forceinline__ void join_groups(const PagedAttention& a, const SplitSums& sums, int64_t head,
                                            int groups, int dim, bool writes) {
  const int64_t place = head * sums.most_splits;
  const auto [mixed, max, sum] = share::join(
      groups, [&](int i) { return __ldcg(sums.stats + place + i); },
      [&](int i) { return piece::load(sums.mixed + (place + i) * S::kHeadDim + dim); });
  if (writes) put_output(a, head * S::kHeadDim + dim, piece::scaled(mixed, 1.0F / sum));
}

}  // namespace ingot::cuda
