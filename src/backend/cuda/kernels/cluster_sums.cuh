// Sums that the blocks of a cluster send each other, straight into shared memory (PTX: st.async). A barrier
// of the block that receives counts their bytes, so that nobody needs a fence, which would wait for all that
// was written to memory. Compute capability 9.0; shared memory is addressed by the 32 bits of its own window.
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

#endif

}  // namespace ingot::cuda
