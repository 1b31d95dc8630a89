// Asynchronous copies into shared memory of the products with blocks.
#pragma once

#include <cuda_runtime_api.h>

#include "backend/cuda/kernels/async_copies.cuh"

namespace ingot::cuda {

/// Begins to copy 16 bytes past the first-level cache; both addresses are multiples of 16.
__device__ inline void begin_copy_of_16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from));
}
/// Begins to copy a float, or to write 0; `from` is an address of a float even then.
__device__ inline void begin_copy_of_float(float* to, const float* from, bool is_there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(is_there ? 4 : 0));
}
/// The same pointer, which the compiler may not compute again wherever it is used.
__device__ inline const char* keep(const char* pointer) {
  asm volatile("" : "+l"(pointer));
  return pointer;
}

}  // namespace ingot::cuda
