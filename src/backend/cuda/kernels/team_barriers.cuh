// Barriers of some of a block's warps. Number 0 is that of __syncthreads().
#pragma once

#include <cuda_runtime_api.h>

namespace ingot::cuda {

/// Returns when `threads` threads, whole warps, have come to the barrier.
__device__ inline void wait_for_team(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
/// Counts this thread in without waiting.
__device__ inline void arrive_at_team(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

}  // namespace ingot::cuda
