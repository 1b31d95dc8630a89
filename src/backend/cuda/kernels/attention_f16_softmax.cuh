// Softmax of a tile's scores in the registers of a warpgroup, as products leave them
// (warpgroup_products.cuh): a lane has the rows g and g + 8 of its warp's 16, and of 8 columns two.
#pragma once

#include <climits>
#include <cmath>

#include "backend/cuda/kernels/attention_f16.h"
#include "backend/cuda/kernels/attention_tf32.cuh"
#include "backend/cuda/kernels/f16_rows.cuh"

namespace ingot::cuda {

constexpr int kF16Scores = kF16TileKeys / 2;  // of a lane

/// Weights are 2^(score - maximum + kWeightExponent). The maximum that they are relative to grows when it is
/// surpassed by kGrowth: until then nothing is rescaled. f16 has room for the sum of both.
constexpr float kWeightExponent = 7;
constexpr float kGrowth = 8;

/// Softmaxes in progress. Products are scores, in units of log 2, divided by `scale`, a power of two.
struct F16Rows {
  float scale[2];
  float max[2];  // of products
  float sum[2];  // of the lane's own weights
};

/// Products with keys, and weights of values, of other scales than the usual ones. The value's is added to
/// the score, so that no weight is larger than f16 can hold.
__device__ inline void apply_scales(const KeyScales* scales, int t, const F16Rows& rows,
                                    float (&scores)[kF16Scores]) {
  const float unit[2] = {1 / rows.scale[0], 1 / rows.scale[1]};
#pragma unroll
  for (int n = 0; n < kF16Scores / 4; ++n) {
    const float4 two = *reinterpret_cast<const float4*>(scales + 8 * n + 2 * t);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* s = scores + 4 * n + 2 * half;
      s[0] = fmaf(s[0], two.x, __fmul_rn(two.y, unit[half]));
      s[1] = fmaf(s[1], two.z, __fmul_rn(two.w, unit[half]));
    }
  }
}

/// Scores of keys outside of a row's view become -inf. `last`: key that rows see; `first`: of the tile.
__device__ inline void mask(const int (&last)[2], int window, int first, int t, float (&scores)[kF16Scores]) {
  // Of the lane's keys, counted from its first one, rows see those from begin to end.
  const int end[2] = {last[0] - first - 2 * t, last[1] - first - 2 * t};
#pragma unroll
  for (int i = 0; i < kF16Scores; ++i) {
    if (i / 4 * 8 + i % 2 > end[i % 4 / 2]) scores[i] = -INFINITY;
  }
  if (window == INT_MAX) return;
  const int begin[2] = {end[0] - window + 1, end[1] - window + 1};
#pragma unroll
  for (int i = 0; i < kF16Scores; ++i) {
    if (i / 4 * 8 + i % 2 < begin[i % 4 / 2]) scores[i] = -INFINITY;
  }
}

/// Scores to weights, which it adds up. Returns whether sums of values so far are to be multiplied by
/// `rescale`, which is 1 otherwise. `scales`: of the tile's keys; not read where all are usual.
template <bool kUsual>
__device__ __forceinline__ bool to_weights(const KeyScales* scales, int t, F16Rows& rows,
                                           float (&scores)[kF16Scores], float (&rescale)[2]) {
  constexpr int kChains = 2;  // of a row, which do not wait for each other
  bool grows = false;
  float max[2][kChains];
#pragma unroll
  for (int i = 0; i < kF16Scores; ++i) {
    float& chain = max[i % 4 / 2][i % 2];
    chain = i < 4 ? scores[i] : fmaxf(chain, scores[i]);
  }
  float bias[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float highest = fmaxf(max[half][0], max[half][1]);
    highest = fmaxf(highest, __shfl_xor_sync(~0U, highest, 1));
    highest = fmaxf(highest, __shfl_xor_sync(~0U, highest, 2));
    // A row that has seen no key yet has the maximum -inf, and -inf - -inf, which is no number, is not above.
    const float above = __fmul_rn(__fsub_rn(highest, rows.max[half]), rows.scale[half]);
    const bool is_above = above > kGrowth;
    rescale[half] = is_above ? exp2_fast(-above) : 1.0F;
    rows.max[half] = is_above ? highest : rows.max[half];
    grows |= is_above;
    bias[half] = rows.max[half] == -INFINITY
                     ? 0.0F
                     : __fsub_rn(kWeightExponent, __fmul_rn(rows.max[half], rows.scale[half]));
  }
  float sum[2][kChains] = {};
#pragma unroll
  for (int n = 0; n < kF16Scores / 4; ++n) {
    float4 two = {};
    if constexpr (!kUsual) two = *reinterpret_cast<const float4*>(scales + 8 * n + 2 * t);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int half = i / 2;
      float& score = scores[4 * n + i];
      float& chain = sum[half][i % 2];
      score = exp2_fast(fmaf(score, rows.scale[half], bias[half]));
      if constexpr (kUsual) {
        chain = __fadd_rn(chain, score);
      } else {
        chain = fmaf(score, power_of_2(-static_cast<int>(i % 2 == 0 ? two.y : two.w)), chain);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    rows.sum[half] = fmaf(rows.sum[half], rescale[half], __fadd_rn(sum[half][0], sum[half][1]));
  }
  return grows;
}

}  // namespace ingot::cuda
