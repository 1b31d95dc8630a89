// Barriers of a step's program: of all blocks, and of some warps of a block.
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Barriers of a block that not all of its threads take part in; 0 is that of all.
enum StepBarrier : int {
  kRowsBarrier = 1,
  kFullBarrier = 2,
  kEmptyBarrier = 4,
  kTeamBarrier = 6,
  kJoinBarrier = 10
};

/// Waits for `threads` threads, this one's included.
__device__ inline void sync_threads_of(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
/// Counts as there without waiting.
__device__ inline void arrive_at(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/// Says that a block has come this far: what its threads wrote before their latest barrier with this one is
/// there for whoever waits. To be called by threads that have no copies on their way: it would wait for them.
__device__ inline void arrive_of_block(uint32_t* arrived) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
#endif
}
/// Returns when so many blocks have come; what they wrote before is there for this block after its next
/// barrier.
__device__ inline void wait_for_blocks(const uint32_t* arrived, uint32_t count) {
#if __CUDA_ARCH__ >= 900
  uint32_t now;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(arrived) : "memory");
  } while (now < count);
#endif
}

/// Adds one, and returns what there was: what was written before is there for those who count later, and what
/// those wrote who counted before is there now.
__device__ inline uint32_t count_up(uint32_t* count) {
  uint32_t before = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
#endif
  return before;
}

/// Asks for a line of memory to be brought into the second-level cache.
__device__ inline void fetch_line(const void* line) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(line) : "memory");
}

__device__ inline uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

}  // namespace ingot::cuda
