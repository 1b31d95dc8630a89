// Blocks of a cluster, which read and write each other's shared memory (compute capability 9.0).
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// This block's place in its cluster.
__device__ inline int rank_in_cluster() {
  uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return static_cast<int>(rank);
}

/// A barrier of all threads of the cluster: what they wrote to shared memory before they arrive, all read
/// after they have waited.
__device__ inline void arrive_at_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}
/// The same for a thread of whose ordinary writes nobody has to know: it waits for none of them.
__device__ inline void arrive_relaxed() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
#endif
}
__device__ inline void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#endif
}

/// What the cluster's block `rank` has where this block has `address`.
__device__ inline uint32_t address_of_rank(uint32_t address, int rank) {
  uint32_t remote = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
#endif
  return remote;
}

/// Writes to the shared memory of the block of that rank, which has begun, where this block has `address`.
__device__ inline void store_to_rank(uint32_t address, int rank, float value) {
#if __CUDA_ARCH__ >= 900
  const uint32_t remote = address_of_rank(address, rank);
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(remote), "f"(value) : "memory");
#endif
}

/// Writes to another block's shared memory, and tells a barrier of it how many bytes have come (PTX:
/// st.async), so that nobody needs a fence, which would wait for all that was written to memory. Both
/// addresses are of that block.
__device__ inline void send_remote(uint32_t to, uint32_t barrier, const float4& v) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
          to),
      "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w), "r"(barrier)
      : "memory");
#endif
}

__device__ inline void send_remote(uint32_t to, uint32_t barrier, const float2& v) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(to),
      "f"(v.x), "f"(v.y), "r"(barrier)
      : "memory");
#endif
}

/// Both: what the cluster's threads wrote to shared memory before, all read after it.
__device__ inline void synchronise_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}

}  // namespace ingot::cuda
