// Copies of tiles by the copy engine (TMA), of a block or of all blocks of a cluster. Compute capability 9.0;
// shared memory is addressed by the 32 bits of its own window.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "backend/cuda/kernels/copy_barriers.cuh"

namespace ingot::cuda {

#if __CUDA_ARCH__ >= 900

/// Arrives at the barrier that the cluster's block `rank` has at the same address. Orders what this thread
/// had from the copy engine and the tensor cores, no ordinary accesses across blocks: that costs a fence.
__device__ __forceinline__ void arrive_at(uint32_t barrier, int rank) {
  asm volatile(
      "{\n\t.reg .b32 remote;\n\tmapa.shared::cluster.u32 remote, %0, %1;\n\t"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n\t}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}

/// One of the lanes of a warp that call it. Unlike a comparison it tells the compiler that there is one only.
__device__ __forceinline__ bool is_elected() {
  uint32_t elected;
  asm volatile("{\n\t.reg .pred one;\n\telect.sync _|one, 0xffffffff;\n\tselp.b32 %0, 1, 0, one;\n\t}"
               : "=r"(elected));
  return elected != 0;
}

__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/// A box of a matrix, its first value at (k, row), to `to`.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap& map, uint32_t barrier, int k,
                                         int row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
      "[%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(k), "r"(row)
      : "memory");
}

/// The same under a policy of the second-level cache (createpolicy).
__device__ __forceinline__ void copy_box_once(uint32_t to, const CUtensorMap& map, uint32_t barrier, int k,
                                              int row, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, "
      "{%3, %4}], [%2], %5;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(k), "r"(row), "l"(policy)
      : "memory");
}

/// A box of a pair of matrices (PairBoxes), `row`: of each, a multiple of 8.
__device__ __forceinline__ void copy_pair_box_once(uint32_t to, const CUtensorMap& map, uint32_t barrier,
                                                   int k, int row, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, "
      "{%3, %4, %4, %5}], [%2], %6;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(k), "r"(0), "r"(row / 8), "l"(policy)
      : "memory");
}

/// A box of a matrix to the blocks of a cluster that `blocks` has a bit for; each has its barrier at this
/// address.
__device__ __forceinline__ void copy_box_to_all(uint32_t to, const CUtensorMap& map, uint32_t barrier, int k,
                                                int row, uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4}], [%2], %5;" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(k), "r"(row), "h"(blocks)
      : "memory");
}

#endif

}  // namespace ingot::cuda
