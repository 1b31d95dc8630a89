// What a warpgroup multiplies in attention in f16: queries brought to panels, their products with keys, and
// weights with values.
#pragma once

#include "backend/cuda/kernels/attention_f16_block.cuh"
#include "backend/cuda/kernels/attention_f16_softmax.cuh"

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

__device__ inline void sync_threads(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ inline void arrive_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
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
    if (S::kTurns && warpgroup == 1) arrive_threads(kFirst, kThreads);
  }
  __device__ void wait() const {
    if (S::kTurns) sync_threads(kFirst + warpgroup, kThreads);
  }
  __device__ void pass_on() const {
    if (S::kTurns) arrive_threads(kFirst + 1 - warpgroup, kThreads);
  }
  __device__ void end() const {
    if (S::kTurns && warpgroup == 0) sync_threads(kFirst, kThreads);
  }
};

/// A warp's 16 queries, scaled, to its warpgroup's panels. `raw`: the tile's queries, `last`: of them;
/// `scales`: what products are to be multiplied by. Queries beyond the last repeat it and are not written.
template <class S>
__device__ void scale_queries(float scale, const float* raw, int last, int warp_query, char* panels,
                              float* scales) {
  constexpr int kLanes = S::kHeadDim / 4;  // of a query
  constexpr int kTogether = kWarp / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int column = lane % kLanes * 4;
#pragma unroll
  for (int i = 0; i < 16; i += kTogether) {
    const int query = warp_query + i + lane / kLanes;
    float4 x = *reinterpret_cast<const float4*>(raw + min(query, last) * S::kHeadDim + column);
    x = {__fmul_rn(x.x, scale), __fmul_rn(x.y, scale), __fmul_rn(x.z, scale), __fmul_rn(x.w, scale)};
    const int exponent = max(-100, min(100, 14 - largest_exponent<kLanes>(x)));
    const int place = column / kPanelColumns * kGroupQueries * kPanelRowBytes +
                      panel_place(query % kGroupQueries, column % kPanelColumns);
    *reinterpret_cast<uint2*>(panels + place) = scaled_halves(x, power_of_2(exponent));
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

}  // namespace ingot::cuda
