// The row that a kernel of block_row.cuh multiplies: normalised and rounded to integers by the whole block,
// with the bits of activation_rows.cuh, into shared memory.
#pragma once

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/block_row_stage.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"

namespace ingot::cuda {

/// Eight of 32 values rounded to integers: as_int8() with half the lanes, and so half the divisions.
struct Int8Eight {
  uint2 values;
  float scale;
  float sum;
};
/// Of the block of 32 values that four neighbouring lanes hold, eight each. All lanes of a warp call it.
__device__ inline Int8Eight as_int8(const float4 (&y)[2]) {
  const float x[8] = {y[0].x, y[0].y, y[0].z, y[0].w, y[1].x, y[1].y, y[1].z, y[1].w};
  unsigned bits = 0;
#pragma unroll
  for (const float value : x) bits = max(bits, __float_as_uint(value) & 0x7fffffffU);
  for (int lanes = 2; lanes > 0; lanes /= 2) bits = max(bits, __shfl_xor_sync(0xffffffffU, bits, lanes));
  const float largest = __uint_as_float(bits);
  const bool is_zero = largest < 0x1p-100F;
  const float scale = (is_zero ? 0.0F : __fdiv_rn(largest, 127.0F)) + largest * 0;
  const float inverse = is_zero ? 0.0F : __fdiv_rn(127.0F, largest);
  // Added to 1.5 * 2^23, a float's last byte is the nearest integer (ties to even).
  unsigned rounded[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) rounded[i] = __float_as_uint(__fadd_rn(__fmul_rn(x[i], inverse), 12582912.0F));
  const auto packed = [&](int i) {
    return pick_bytes(pick_bytes(rounded[i], rounded[i + 1], 0x0040),
                      pick_bytes(rounded[i + 2], rounded[i + 3], 0x0040), 0x5410);
  };
  const uint2 values = {packed(0), packed(4)};
  int sum = __dp4a(static_cast<int>(values.x), 0x01010101, __dp4a(static_cast<int>(values.y), 0x01010101, 0));
  for (int lanes = 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, lanes);
  return {values, scale, scale * static_cast<float>(sum)};
}

/// A row without a norm.
template <class Blocks>
__device__ void round_block_row(const RowPreparation& p, const BlockRow<Blocks>& row) {
  constexpr int kStep = kRowThreads * 8;
  constexpr int kAhead = 4;  // eights of a thread that it asks for before it uses them
  for (int begin = 0; begin < p.in; begin += kAhead * kStep) {
    const int first = begin + static_cast<int>(threadIdx.x) * 8;
    float4 y[kAhead][2];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      y[i][0] = load_row<true>(p.x, first + i * kStep, p.in);
      y[i][1] = load_row<true>(p.x, first + i * kStep + 4, p.in);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (begin + i * kStep >= p.in) break;
      const int at = first + i * kStep;
      const Int8Eight eight = as_int8(y[i]);
      if (at >= p.in) continue;
      *reinterpret_cast<uint2*>(row.values + at) = eight.values;
      if (at % kGroup == 0)
        OneRowBlocks<Blocks>::put(row.scales, row.sums, at / kGroup, eight.scale, eight.sum);
    }
  }
}

template <class Blocks>
__device__ void put_four(const RowPreparation& p, const BlockRow<Blocks>& row, int64_t at, const float4& y) {
  const Int8Four four = as_int8(y);
  if (at >= p.in) return;
  *reinterpret_cast<char4*>(row.values + at) = four.values;
  if (at % kGroup == 0)
    OneRowBlocks<Blocks>::put(row.scales, row.sums, static_cast<int>(at / kGroup), four.scale, four.sum);
}

/// A row with a norm, of at most kKept * kRowStep values.
template <class Blocks, int kKept>
__device__ void normalise_block_row(const RowPreparation& p, const BlockRow<Blocks>& row,
                                    RowPartials& partials) {
  KeptRow<kKept> kept;
  kept.load_weights(p);
  wait_for_inputs();
  kept.load(p, p.x);
  kept.normalise(p, partials);
#pragma unroll
  for (int i = 0; i < kKept; ++i) put_four<Blocks>(p, row, kept.at(i), kept.y[i]);
}

/// Ends with a barrier.
template <class Blocks>
__device__ void prepare_block_row(const RowPreparation& p, const BlockRow<Blocks>& row,
                                  RowPartials& partials) {
  if (p.norm == LinearNorm::none) {
    wait_for_inputs();
    round_block_row<Blocks>(p, row);
  } else if (p.in <= 2 * kRowStep) {
    normalise_block_row<Blocks, 2>(p, row, partials);
  } else {
    wait_for_inputs();
    reduce_rows<true>(p, 0, 1, partials);
    const RowScale scale = scale_of_row(p, 0, partials);
#pragma unroll 1
    for (int64_t begin = 0; begin < p.in; begin += kRowStep) {
      const int64_t at = begin + KeptRow<1>::at(0);
      put_four<Blocks>(p, row, at, normalised_four<true>(p, p.x, at, scale));
    }
  }
  __syncthreads();
}

}  // namespace ingot::cuda
