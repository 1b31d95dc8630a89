// Launches that begin before the kernel ahead of them has ended (programmatic dependent launch).
//
// Until wait_for_inputs() such a kernel writes nothing and reads only what no kernel of this step writes
// before it: weights (kernels write f32 and scratch), or, in attention, what the step was given, and keys and
// values of earlier steps. A step begins with copies of what it is given (context lengths differ from step to
// step); these wait for all before them and do not let others begin. So whatever comes behind them begins
// when all kernels of earlier steps have ended, and what they wrote is there. In the step itself kernels
// write keys and values at the positions of its own rows alone: of a sequence with n rows, its last n. Those,
// and whatever else kernels ahead write, are read after the wait. Every thread waits before it ends, so that
// what comes after it comes after everything before it, too.
//
// Waiting is what costs least. In a recorded chain of kernels of 128 blocks, in which each block reads the
// row that all blocks of the kernel ahead wrote, a kernel took 1.27 us so; with polling in place of the
// wait 1.67 us where blocks count themselves done, and 1.6 to 1.8 us where every value carries the number of
// its step (H200).
#pragma once

#include <type_traits>

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

struct LaunchShape {
  unsigned blocks = 1;
  unsigned blocks_y = 1;
  unsigned threads = 0;
  int shared_bytes = 0;
  unsigned cluster = 1;  // blocks of a cluster
};

/// Launches a kernel that calls wait_for_inputs().
template <class... Arguments>
void launch_overlapped(const Gpu& gpu, void (*kernel)(Arguments...), const LaunchShape& shape,
                       const std::type_identity_t<Arguments>&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (gpu.compute_capability >= 90) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {shape.cluster, 1, 1};
  }
  // As much shared memory for all of these: a multiprocessor need not be set up anew, and so be empty,
  // between a kernel and the next.
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                         cudaSharedmemCarveoutMaxShared));
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(shape.blocks, shape.blocks_y);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = gpu.stream;
  config.attrs = attributes;
  config.numAttrs = count;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

}  // namespace ingot::cuda
