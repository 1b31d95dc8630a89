// How point-wise kernels divide their elements: four neighbours a thread and access, and for large arrays
// several such accesses that are in flight together.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/values.cuh"

namespace ingot::cuda {

inline constexpr int kElementwiseThreads = 256;
inline constexpr int kVector = 4;  // f32 values of an access of 16 bytes

/// Accesses a thread has in flight where there is enough for all threads of the device, else one: more blocks
/// are then better than longer ones.
inline constexpr int kAccesses = 4;

inline bool is_large(const Gpu& gpu, int64_t elements) {
  constexpr int64_t kThreadsOfMultiprocessor = 2048;
  return elements / (kVector * kAccesses) >= gpu.multiprocessors * kThreadsOfMultiprocessor;
}

inline unsigned elementwise_blocks(int64_t elements, int accesses) {
  return static_cast<unsigned>(
      divide_up(divide_up(elements, kVector), int64_t{kElementwiseThreads} * accesses));
}

/// The place of element `index` in rows of `row` elements. 64-bit division takes many instructions, 32-bit
/// division a few; no thread goes another way than its neighbours.
__device__ __forceinline__ int64_t column_of(int64_t index, int64_t row, int64_t elements) {
  if (elements <= UINT32_MAX) return static_cast<uint32_t>(index) % static_cast<uint32_t>(row);
  return index % row;
}

/// `count` elements, 1 to 4, of rows that repeat, from a place of the row on; column 0 follows the last one.
/// The element after the row's end is the row's first.
template <class Load>
__device__ __forceinline__ Values<kVector> load_wrapped(int64_t column, int64_t row, int count, Load load) {
  Values<kVector> values{};
#pragma unroll
  for (int i = 0; i < kVector; ++i) {  // whose indices are known, so that the values stay in registers
    if (i >= count) break;
    values.at[i] = load(column);
    if (++column == row) column = 0;
  }
  return values;
}

}  // namespace ingot::cuda
