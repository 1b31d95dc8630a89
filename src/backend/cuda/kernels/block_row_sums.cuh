// How the sums of a weight row's chunks, which lie in shared memory, become an output: slice by slice, in the
// order that block_layout.cuh says.
#pragma once

#include "backend/cuda/kernels/block_row_stage.cuh"

namespace ingot::cuda {

/// Sums of slices number first, first + 1 and so on, of 2^bits.
template <int kCount>
__device__ inline void sum_slices(const float* partials, int chunks, int bits, int first,
                                  float (&slices)[kCount]) {
  int most = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    slices[i] = 0;
    most = max(most, (chunks * (first + i + 1) >> bits) - (chunks * (first + i) >> bits));
  }
#pragma unroll 2
  for (int step = 0; step < most; ++step) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int chunk = (chunks * (first + i) >> bits) + step;
      if (chunk < chunks * (first + i + 1) >> bits) slices[i] += partials[chunk];
    }
  }
}

/// An item's sum of one output from its chunks' sums, of 2^bits slices, in the order of run_block_product():
/// of the four sums of slices that are added up last, a lane has two; lanes 16 apart have the same output.
/// All lanes of a warp call it. `partials`: of 16, 8 or 4 chunks a multiple of 16 bytes.
__device__ inline float sum_of_chunks(const float* partials, int chunks, int bits) {
  static_assert(kLastSlices == 4 && kMostWarps == 16);
  if (bits < 2) {
    float slices[2];
    sum_slices(partials, chunks, bits, 0, slices);
    return bits == 0 ? slices[0] : slices[0] + slices[1];
  }
  const bool is_first = threadIdx.x % kWarp < kWarpRows;
  float last[2];
  if (is_short(chunks)) {
    // Slices are runs of 1, 2 or 4.
    partials += is_first ? 0 : chunks / 2;
    const auto from_zero = [](float value) { return __fadd_rn(0.0F, value); };
    if (chunks == 16) {
      const auto* const fours = reinterpret_cast<const float4*>(partials);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float4 v = fours[i];
        const float two = from_zero(v.x) + v.y;
        last[i] = bits == 3 ? two + (from_zero(v.z) + v.w) : two + v.z + v.w;
      }
    } else if (chunks == 8) {
      const float4 v = *reinterpret_cast<const float4*>(partials);
      last[0] = from_zero(v.x) + v.y;
      last[1] = from_zero(v.z) + v.w;
    } else {
      const float2 v = *reinterpret_cast<const float2*>(partials);
      last[0] = from_zero(v.x);
      last[1] = from_zero(v.y);
    }
  } else if (bits == 2) {
    sum_slices(partials, chunks, bits, is_first ? 0 : 2, last);
  } else if (bits == 3) {
    float slices[4];
    sum_slices(partials, chunks, bits, is_first ? 0 : 4, slices);
    last[0] = slices[0] + slices[1];
    last[1] = slices[2] + slices[3];
  } else {
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      float slices[4];
      sum_slices(partials, chunks, bits, (is_first ? 0 : 8) + i * 4, slices);
      last[0] = last[1];
      last[1] = slices[0] + slices[1] + slices[2] + slices[3];
    }
  }
  const float other[2] = {__shfl_xor_sync(0xffffffffU, last[0], kWarpRows),
                          __shfl_xor_sync(0xffffffffU, last[1], kWarpRows)};
  return is_first ? last[0] + last[1] + other[0] + other[1] : other[0] + other[1] + last[0] + last[1];
}

}  // namespace ingot::cuda
