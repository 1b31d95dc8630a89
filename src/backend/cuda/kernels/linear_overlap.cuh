// Launches that begin before the kernel ahead of them has ended (programmatic dependent launch).
//
// Until wait_for_inputs() such a kernel only asks for lines of the second-level cache, which is safe whatever
// is being written; it reads and writes nothing. Every thread waits before it ends, so that what comes after
// it comes after everything before it, too.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Returns when all that was enqueued before this kernel is done.
__device__ inline void wait_for_inputs() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel begin as soon as there is room for it.
__device__ inline void begin_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Asks for bytes of device memory, a multiple of 16 at a multiple of 16.
__device__ inline void fetch_ahead(const void* from, unsigned bytes) {
#if __CUDA_ARCH__ >= 900
  if (bytes > 0)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
#endif
}

/// Launches a kernel that calls wait_for_inputs().
template <class Arguments>
void launch_overlapped(const Gpu& gpu, void (*kernel)(Arguments), unsigned blocks, unsigned threads,
                       size_t shared_bytes, const Arguments& arguments) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = gpu.stream;
  config.attrs = &overlap;
  config.numAttrs = gpu.compute_capability >= 90 ? 1 : 0;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, arguments));
}

}  // namespace ingot::cuda
