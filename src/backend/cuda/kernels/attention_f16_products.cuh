// What a warpgroup multiplies in attention in f16: queries brought to panels, their products with keys,
// weights with values, and what comes of them.
#pragma once

#include "backend/cuda/kernels/attention_f16_block.cuh"
#include "backend/cuda/kernels/attention_f16_softmax.cuh"
#include "backend/cuda/kernels/team_barriers.cuh"

namespace ingot::cuda {

/// Registers go from the warps that copy to those that multiply, whose sums would not fit otherwise.
template <class S>
__device__ __forceinline__ void give_registers() {
  if constexpr (S::kGroups == 2) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
  if constexpr (S::kGroups == 3) asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
}
template <class S>
__device__ __forceinline__ void take_registers() {
  if constexpr (S::kGroups == 2) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  if constexpr (S::kGroups == 3) asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
}

__device__ inline void arrive_warp(PhaseBarrier* barrier) {
  __syncwarp();
  if (threadIdx.x % kWarp == 0) arrive(barrier);
}

/// Whose turn it is to begin products, of two warpgroups.
template <class S>
struct Turns {
  static constexpr int kFirst = 8;  // barrier
  static constexpr int kThreads = 2 * kGroupThreads;
  int warpgroup;

  __device__ void begin() const {
    if (S::kTurns && warpgroup == 1) arrive_at_team(kFirst, kThreads);
  }
  __device__ void wait() const {
    if (S::kTurns) wait_for_team(kFirst + warpgroup, kThreads);
  }
  __device__ void pass_on() const {
    if (S::kTurns) arrive_at_team(kFirst + 1 - warpgroup, kThreads);
  }
  __device__ void end() const {
    if (S::kTurns && warpgroup == 0) wait_for_team(kFirst, kThreads);
  }
};

/// A warp's 16 queries, scaled, to its warpgroup's panels. `raw`: the tile's queries, `last`: of them;
/// `scales`: what products are to be multiplied by. Queries beyond the last repeat it and are not written.
template <class S>
__device__ void scale_queries(float scale, const float* raw, int last, int warp_query, char* panels,
                              float* scales) {
  constexpr int kLanes = 8;  // of a query: few, which have little to tell each other
  constexpr int kLoads = S::kHeadDim / (4 * kLanes);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < 16; i += kWarp / kLanes) {
    const int query = warp_query + i + lane / kLanes;
    const float* from = raw + min(query, last) * S::kHeadDim + lane % kLanes * 4;
    float4 x[kLoads];
    float largest = 0;  // which may be no number: then others decide, and it stays what it is
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      x[k] = *reinterpret_cast<const float4*>(from + 4 * kLanes * k);
      largest =
          fmaxf(largest, fmaxf(fmaxf(fabsf(x[k].x), fabsf(x[k].y)), fmaxf(fabsf(x[k].z), fabsf(x[k].w))));
    }
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2)
      largest = fmaxf(largest, __shfl_xor_sync(~0U, largest, distance));
    const int exponent = max(-100, min(100, 14 - exponent_of(__fmul_rn(largest, fabsf(scale)))));
    const float both = __fmul_rn(scale, power_of_2(exponent));
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int column = 4 * (kLanes * k + lane % kLanes);
      const int place = column / kPanelColumns * kGroupQueries * kPanelRowBytes +
                        panel_place(query % kGroupQueries, column % kPanelColumns);
      *reinterpret_cast<uint2*>(panels + place) = scaled_halves(x[k], both);
    }
    if (lane % kLanes == 0) scales[query] = power_of_2(-exponent - UsualKeys::kScale);
  }
}

/// scores = queries * keys, begun.
template <class S>
__device__ __forceinline__ void begin_scores(uint64_t queries, uint64_t keys, float (&scores)[kF16Scores]) {
  hold(scores);
  begin_products();
#pragma unroll
  for (int depth = 0; depth < S::kHeadDim; depth += 16) {
    const int bytes = depth % kPanelColumns * 2;
    const int panel = depth / kPanelColumns * kPanelRowBytes;
    const uint64_t left = advance(queries, panel * kGroupQueries + bytes);
    const uint64_t right = advance(keys, panel * kF16TileKeys + bytes);
    if (depth == 0) {
      multiply<false>(scores, left, right);
    } else {
      multiply<true>(scores, left, right);
    }
  }
  commit_products();
}

/// mixed += weights * values, begun.
template <class S>
__device__ __forceinline__ void begin_mixing(uint32_t (&weights)[kF16Scores / 2], uint64_t values,
                                             float (&mixed)[S::kHeadDim / 2]) {
  hold(mixed);
  hold(weights);
  begin_products();
#pragma unroll
  for (int step = 0; step < kF16TileKeys / 16; ++step)
    multiply_add(mixed, weights + 4 * step, advance(values, step * 16 * kPanelRowBytes));
  commit_products();
}

/// The lane's share of a warpgroup's queries. Neighbours exchange halves, so that each writes 16 bytes.
template <class S>
__device__ void write_queries(const PagedAttention& a, const QueryTile& tile, int kv_head, int group,
                              int first, const F16Rows& rows, const float (&mixed)[S::kHeadDim / 2]) {
  const int t = static_cast<int>(threadIdx.x) % 4;
  const bool is_odd = t % 2 != 0;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = rows.sum[half];
    sum = __fadd_rn(sum, __shfl_xor_sync(~0U, sum, 1));
    sum = __fadd_rn(sum, __shfl_xor_sync(~0U, sum, 2));
    const float share = __fmul_rn(1.0F / sum, power_of_2(-UsualValues::kScale));
    const int query = tile.first + first + 8 * half;
    float* out = a.out + query_offset(a, tile, kv_head, group, query) + (is_odd ? 8 + 2 * (t - 1) : 2 * t);
    // Adding 0 gives -0 the sign that adding unseen values may have given it or not.
    const auto value = [&](int n, int i) { return fmaf(mixed[4 * n + 2 * half + i], share, 0.0F); };
#pragma unroll
    for (int n = 0; n < S::kHeadDim / 8; n += 2) {
      const float2 low = {value(n, 0), value(n, 1)};
      const float2 high = {value(n + 1, 0), value(n + 1, 1)};
      const float2 given = is_odd ? low : high;
      const float2 taken = {__shfl_xor_sync(~0U, given.x, 1), __shfl_xor_sync(~0U, given.y, 1)};
      const float4 four =
          is_odd ? float4{taken.x, taken.y, high.x, high.y} : float4{low.x, low.y, taken.x, taken.y};
      if (query < tile.queries) *reinterpret_cast<float4*>(out + 8 * n) = four;
    }
  }
}

}  // namespace ingot::cuda
