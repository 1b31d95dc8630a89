// Rows of f32 scaled by powers of two, and rounded to f16.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// The exponent of a magnitude: -127 for zero and what is smaller than a normal number, 128 for what is none.
__device__ inline int exponent_of(float magnitude) {
  return static_cast<int>(__float_as_uint(magnitude) >> 23) - 127;
}

/// The exponent of the largest of a row's magnitudes, of which kLanes neighbours hold four each.
template <int kLanes>
__device__ inline int largest_exponent(const float4& x) {
  float largest = fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    largest = fmaxf(largest, __shfl_xor_sync(~0U, largest, distance));
  return exponent_of(largest);
}

/// 2^exponent, which is one of a normal number.
__device__ inline float power_of_2(int exponent) {
  return __uint_as_float(static_cast<uint32_t>(exponent + 127) << 23);
}

__device__ inline uint32_t two_halves(float low, float high) {
  uint32_t halves;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(high), "f"(low));
  return halves;
}

__device__ inline uint2 scaled_halves(const float4& x, float scale) {
  return {two_halves(__fmul_rn(x.x, scale), __fmul_rn(x.y, scale)),
          two_halves(__fmul_rn(x.z, scale), __fmul_rn(x.w, scale))};
}

}  // namespace ingot::cuda
