// Copies of contiguous bytes to shared memory by the copy engine, and the barriers that they report to
// (sm_90).
#pragma once

#include <cstdint>

namespace ingot::cuda {

/// A barrier in shared memory that completes a phase after so many arrivals and all bytes that were
/// announced. Phases alternate between 0 and 1; the first is 0.
using PhaseBarrier = uint64_t;

__device__ inline void begin_barrier(PhaseBarrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier))),
               "r"(arrivals)
               : "memory");
}
/// Shows barriers that this thread began to the copy engine.
__device__ inline void show_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Shows what this thread wrote to shared memory to the copy engine and to products of warpgroups.
__device__ inline void show_shared_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ inline void arrive(PhaseBarrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier)))
               : "memory");
}
/// Arrives, and announces bytes of copies.
__device__ inline void arrive_expecting(PhaseBarrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(barrier))),
               "r"(bytes)
               : "memory");
}
/// Returns when the phase is complete.
__device__ inline void wait_for_phase(PhaseBarrier* barrier, int phase) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra complete;\n"
      "bra again;\n"
      "complete:\n"
      "}\n" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier))),
      "r"(phase)
      : "memory");
}

/// Begins to copy bytes, a multiple of 16 at addresses that are, too.
__device__ inline void copy_bulk(void* shared, const void* global, int bytes, PhaseBarrier* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
      "l"(global), "r"(bytes), "r"(static_cast<uint32_t>(__cvta_generic_to_shared(barrier)))
      : "memory");
}

}  // namespace ingot::cuda
