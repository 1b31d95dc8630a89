// Blocks of a cluster, which read each other's shared memory (compute capability 9.0).
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

/// Writes to the shared memory of the block of that rank, which has begun, where this block has `address`.
__device__ inline void store_to_rank(uint32_t address, int rank, float value) {
#if __CUDA_ARCH__ >= 900
  uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(remote), "f"(value) : "memory");
#endif
}

/// Both: what the cluster's threads wrote to shared memory before, all read after it.
__device__ inline void synchronise_cluster() {
  arrive_at_cluster();
  wait_for_cluster();
}

}  // namespace ingot::cuda
