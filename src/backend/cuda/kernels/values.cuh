// Values of memory as f32: one at a time, or four with one access.
#pragma once

#include <cuda_fp16.h>

#include "dtype/formats.h"

namespace ingot::cuda {

/// Values that one thread holds.
template <int kCount>
struct Values {
  float at[kCount];
};

/// As dtype::decode(); binary16 by the instruction that devices have for it.
template <class T>
__device__ __forceinline__ float value_of(T stored) {
  return dtype::decode(stored);
}
template <>
__device__ __forceinline__ float value_of(dtype::F16 stored) {
  return __half2float(__ushort_as_half(stored.bits));
}

/// kCount values of a type without blocks, decoded; `from` is aligned to all of them.
template <int kCount, class T>
__device__ __forceinline__ Values<kCount> load_values(const T* from) {
  struct alignas(sizeof(T) * kCount) Packed {
    T at[kCount];
  };
  const Packed packed = *reinterpret_cast<const Packed*>(from);
  Values<kCount> values;
#pragma unroll
  for (int i = 0; i < kCount; ++i) values.at[i] = value_of(packed.at[i]);
  return values;
}

/// The same for a type that is known when the kernel runs: one branch for all values of all threads.
template <int kCount>
__device__ __forceinline__ Values<kCount> load_values(DType dtype, const void* data, int64_t first) {
  switch (dtype) {
    case DType::f16:
      return load_values<kCount>(static_cast<const dtype::F16*>(data) + first);
    case DType::bf16:
      return load_values<kCount>(static_cast<const dtype::Bf16*>(data) + first);
    case DType::f8_e4m3:
      return load_values<kCount>(static_cast<const dtype::F8E4M3*>(data) + first);
    default:
      return load_values<kCount>(static_cast<const float*>(data) + first);
  }
}

template <int kCount>
__device__ __forceinline__ void store_values(float* to, const Values<kCount>& values) {
  struct alignas(sizeof(float) * kCount) Packed {
    float at[kCount];
  };
  Packed packed;
#pragma unroll
  for (int i = 0; i < kCount; ++i) packed.at[i] = values.at[i];
  *reinterpret_cast<Packed*>(to) = packed;
}

}  // namespace ingot::cuda
