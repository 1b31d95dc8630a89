// Sums that the blocks of a cluster send each other, straight into shared memory (PTX: st.async). A barrier
// of the block that receives counts their bytes. Compute capability 9.0; shared memory is addressed by the 32
// bits of its own window.
#pragma once

#include <cstdint>

namespace ingot::cuda {

#if __CUDA_ARCH__ >= 900

/// What the cluster's block `rank` has where this block has `address`.
__device__ __forceinline__ uint32_t address_of_rank(uint32_t address, int rank) {
  uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  return remote;
}

/// Sends 16 bytes; both addresses are of the receiving block.
__device__ __forceinline__ void send_four(uint32_t to, uint32_t barrier, float x, float y, float z, float w) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
          to),
      "f"(x), "f"(y), "f"(z), "f"(w), "r"(barrier)
      : "memory");
}

/// Arrives at the barrier of a block of the cluster: what this thread has read before, others may write then.
__device__ __forceinline__ void arrive_for_cluster(uint32_t barrier_of_rank) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier_of_rank)
               : "memory");
}

/// Returns when the phase of this block's barrier is complete, by whichever block.
__device__ __forceinline__ void wait_barrier_of_cluster(uint32_t barrier, uint32_t parity) {
  asm volatile(
      "{\n\t.reg .pred done;\n\tagain:\n\t"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n\t"
      "@!done bra again;\n\t}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

#endif

}  // namespace ingot::cuda
