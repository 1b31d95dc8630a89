// Copies of contiguous bytes to shared memory by the copy engine (sm_90).
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/copy_barriers.cuh"

namespace ingot::cuda {

/// A barrier of copy_barriers.cuh, where it lies.
using PhaseBarrier = uint64_t;

__device__ __forceinline__ void begin_barrier(PhaseBarrier* barrier, int arrivals) {
  init_barrier(shared_address(barrier), arrivals);
}
__device__ __forceinline__ void arrive(PhaseBarrier* barrier) {
  arrive(shared_address(barrier));
}
/// Arrives, and announces bytes of copies.
__device__ __forceinline__ void arrive_expecting(PhaseBarrier* barrier, int bytes) {
  expect_bytes(shared_address(barrier), bytes);
}
__device__ __forceinline__ bool is_complete(PhaseBarrier* barrier, int phase) {
  return is_complete(shared_address(barrier), static_cast<uint32_t>(phase));
}
/// Returns when the phase is complete.
__device__ __forceinline__ void wait_for_phase(PhaseBarrier* barrier, int phase) {
  wait_barrier(shared_address(barrier), static_cast<uint32_t>(phase));
}

/// Shows what this thread wrote to shared memory to the copy engine and to products of warpgroups.
__device__ inline void show_shared_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Begins to copy bytes, a multiple of 16 at addresses that are, too.
__device__ inline void copy_bulk(void* shared, const void* global, int bytes, PhaseBarrier* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(bytes), "r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier)))
      : "memory");
}

/// The same under a policy of the second-level cache (createpolicy).
__device__ inline void copy_bulk_once(void* shared, const void* global, int bytes, PhaseBarrier* barrier,
                                      uint64_t policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, "
      "[%3], %4;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(bytes), "r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier))), "l"(policy)
      : "memory");
}

}  // namespace ingot::cuda
