// Reading the operands of linear_operands.h on the device.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "backend/cuda/kernels/linear_operands.h"

namespace ingot::cuda {

__device__ inline float load_float(const FloatRow& row, int64_t i) {
  switch (row.dtype) {
    case DType::bf16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(row.data)[i]);
    case DType::f16:
      return __half2float(static_cast<const __half*>(row.data)[i]);
    default:
      return static_cast<const float*>(row.data)[i];
  }
}

/// Values i … i + 3 where the row's address and i are multiples of four values.
__device__ inline float4 load_four_floats(const FloatRow& row, int64_t i) {
  if (row.dtype == DType::f32)
    return *reinterpret_cast<const float4*>(static_cast<const float*>(row.data) + i);
  const uint2 bits = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(row.data) + i);
  if (row.dtype == DType::bf16) {
    return {__uint_as_float(bits.x << 16), __uint_as_float(bits.x & 0xffff0000U),
            __uint_as_float(bits.y << 16), __uint_as_float(bits.y & 0xffff0000U)};
  }
  const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&bits.x));
  const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&bits.y));
  return {low.x, low.y, high.x, high.y};
}

}  // namespace ingot::cuda
