// What a warp does with a block of keys and values: scores, weights, and values mixed under them. A lane is
// 4g + t, as in attention_tf32.cuh.
#pragma once

#include <cmath>

#include "backend/cuda/kernels/attention_blocks.cuh"
#include "backend/cuda/kernels/attention_tf32.cuh"

namespace ingot::cuda {

/// Four queries' parts of a depth of 16 for the two products that it takes: [which][left operand].
struct LeftOperands {
  float values[2][4];
};
template <typename S>
__device__ LeftOperands load_left(const float* queries, int row, int depth, int t) {
  const float4 low = *reinterpret_cast<const float4*>(queries + key_place<S>(row, 4 * depth + t));
  const float4 high = *reinterpret_cast<const float4*>(queries + key_place<S>(row + 8, 4 * depth + t));
  return {{{low.x, high.x, low.y, high.y}, {low.z, high.z, low.w, high.w}}};
}

template <typename S>
using TileScores = float[S::kTiles][kBlockKeys / 8][4];

/// Softmaxes in progress of a lane's queries, which are g and g + 8 of each tile of 16.
template <typename S>
struct TileSoftmax {
  float max[S::kTiles][2];
  float sum[S::kTiles][2];  // of the lane's own keys
  float mixed[S::kTiles][S::kHeadDim / 8][4];
};

/// scores = queries of the warp * keys of a block. `held`: the queries, where registers hold them.
template <typename S>
__device__ void multiply_keys(const LeftOperands* held, const float* queries, const float* keys,
                              int warp_query, int g, int t, TileScores<S>& scores) {
#pragma unroll
  for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kBlockKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
    }
  }
#pragma unroll
  for (int depth = 0; depth < S::kHeadDim / 16; ++depth) {
    LeftOperands left[S::kTiles];
#pragma unroll
    for (int m = 0; m < S::kTiles; ++m) {
      if constexpr (S::kHoldsQueries) {
        left[m] = held[depth];
      } else {
        left[m] = load_left<S>(queries, warp_query + 16 * m + g, depth, t);
      }
    }
    float right[kBlockKeys / 8][4];
#pragma unroll
    for (int n = 0; n < kBlockKeys / 8; ++n) {
      const float4 k = *reinterpret_cast<const float4*>(keys + key_place<S>(8 * n + g, 4 * depth + t));
      right[n][0] = round_tf32(k.x);
      right[n][1] = round_tf32(k.y);
      right[n][2] = round_tf32(k.z);
      right[n][3] = round_tf32(k.w);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int n = 0; n < kBlockKeys / 8; ++n) {
#pragma unroll
        for (int m = 0; m < S::kTiles; ++m)
          multiply_add(scores[m][n], left[m].values[half], right[n][2 * half], right[n][2 * half + 1]);
      }
    }
  }
}

/// Scores of keys outside of a query's view become -inf. `first`: of the block; `last`: that queries see.
template <typename S>
__device__ void mask(const int (&last)[S::kTiles][2], int window, int first, int t, TileScores<S>& scores) {
#pragma unroll
  for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kBlockKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int behind = last[m][i / 2] - (first + 8 * n + 2 * t + i % 2);
        if (behind < 0 || behind >= window) scores[m][n][i] = -INFINITY;
      }
    }
  }
}

/// Scores, in units of log 2, to weights in tf32.
template <typename S>
__device__ void to_weights(TileScores<S>& scores, TileSoftmax<S>& state) {
  float rescale[S::kTiles][2];
  bool grows = false;
#pragma unroll
  for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = state.max[tile][half];
#pragma unroll
      for (int n = 0; n < kBlockKeys / 8; ++n)
        max = fmaxf(max, fmaxf(scores[tile][n][2 * half], scores[tile][n][2 * half + 1]));
      max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, 1));
      max = fmaxf(max, __shfl_xor_sync(0xffffffff, max, 2));
      // A query that has seen no key yet has the maximum -inf, and -inf - -inf is not a number.
      const float base = max == -INFINITY ? 0.0F : max;
      const float scale = exp2_fast(__fsub_rn(state.max[tile][half], base));
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kBlockKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[tile][n][i] = exactly_tf32(exp2_fast(__fsub_rn(scores[tile][n][i], base)));
          sum = __fadd_rn(sum, scores[tile][n][i]);
        }
      }
      state.max[tile][half] = max;
      state.sum[tile][half] = fmaf(state.sum[tile][half], scale, sum);
      rescale[tile][half] = scale;
      grows |= scale != 1.0F;
    }
  }
  // Times one is what it was: only time is saved.
  if (!__any_sync(0xffffffff, grows)) return;
#pragma unroll
  for (int m = 0; m < S::kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < S::kHeadDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) state.mixed[m][n][i] = __fmul_rn(state.mixed[m][n][i], rescale[m][i / 2]);
    }
  }
}

/// mixed += weights * values for one block of keys.
template <typename S>
__device__ void mix(const TileScores<S>& weights, const float* values, int g, int t, TileSoftmax<S>& state) {
  constexpr int kColumns = S::kColumns;
#pragma unroll
  for (int n = 0; n < kBlockKeys / 8; ++n) {
    // The columns 2t and 2t + 1 of the weights serve as the depths t and t + 4.
    float left[S::kTiles][4];
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
      left[tile][0] = weights[tile][n][0];
      left[tile][1] = weights[tile][n][2];
      left[tile][2] = weights[tile][n][1];
      left[tile][3] = weights[tile][n][3];
    }
#pragma unroll
    for (int block = 0; block < S::kHeadDim / (8 * kColumns); ++block) {
      float right[2][kColumns];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = 8 * n + 2 * t + i;
        if constexpr (kColumns == 4) {
          const float4 v = *reinterpret_cast<const float4*>(values + value_place<S>(row, 8 * block + g));
          right[i][0] = round_tf32(v.x);
          right[i][1] = round_tf32(v.y);
          right[i][2] = round_tf32(v.z);
          right[i][3] = round_tf32(v.w);
        } else {
          const float2 v = *reinterpret_cast<const float2*>(
              values + value_place<S>(row, 4 * block + (g >> 1)) + 2 * (g & 1));
          right[i][0] = round_tf32(v.x);
          right[i][1] = round_tf32(v.y);
        }
      }
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile)
          multiply_add(state.mixed[tile][block * kColumns + column], left[tile], right[0][column],
                       right[1][column]);
      }
    }
  }
}

/// One query's share of a lane: `half` 0 for the query g of a tile of 16, 1 for g + 8.
template <typename S>
__device__ void write_query(const TileSoftmax<S>& state, int m, int half, float share, int t, float* out) {
  // Adding 0 gives -0 the sign that adding unseen values may have given it or not.
  const auto value = [&](int n, int i) { return fmaf(state.mixed[m][n][2 * half + i], share, 0.0F); };
  if constexpr (S::kColumns == 4) {
#pragma unroll
    for (int block = 0; block < S::kHeadDim / 32; ++block) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int n = 4 * block;
        *reinterpret_cast<float4*>(out + 32 * block + 8 * t + 4 * i) = {value(n, i), value(n + 1, i),
                                                                        value(n + 2, i), value(n + 3, i)};
      }
    }
  } else {
#pragma unroll
    for (int block = 0; block < S::kHeadDim / 16; ++block) {
      const int n = 2 * block;
      *reinterpret_cast<float4*>(out + 16 * block + 4 * t) = {value(n, 0), value(n + 1, 0), value(n, 1),
                                                              value(n + 1, 1)};
    }
  }
}

}  // namespace ingot::cuda
