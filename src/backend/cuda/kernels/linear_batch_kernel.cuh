// The kernel of linear_batch.h. A cluster of four blocks computes tiles of weight rows for up to 64 rows of
// inputs, each block a fourth of K: one group of slices. The ring of stages (linear_stages.cuh) reaches
// across tiles. A warpgroup for each 64 weight rows multiplies what is there, slice by slice from zero, and
// adds the slices' sums as they come. Then the blocks send each other the groups' sums: each finishes a
// fourth of the tile's outputs.
//
// The sums of a slice are those of a chain of m16n8k16 (linear_fragments.cuh): instructions of warpgroups
// give the same bits for the same sixteen values of k.
#pragma once

#include "backend/cuda/kernels/linear_batch_heads.cuh"
#include "backend/cuda/kernels/linear_batch_sums.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"

namespace ingot::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Asks for the weights of a stage.
template <BatchEnd kEnd, class T>
__device__ __forceinline__ void copy_weights(const BatchArguments& a, uint64_t policy, uint32_t to,
                                             uint32_t barrier, int tile_number, int k) {
  const Tile tile = tile_at(a.skinny, tile_number, a.heights.outputs);
  if constexpr (kEnd == BatchEnd::heads) {
    for (int run = 0; run < a.heights.outputs / kRunRows; ++run) {
      const RunOfPairs pairs(tile.first_output / kRunRows + run, a.runs_log2);
      const int row = pairs.head * static_cast<int>(a.heads.head_dim) + pairs.first;
      const uint32_t run_to =
          to + static_cast<uint32_t>((run / 2 * kGroupOutputs + run % 2 * kRunPairs) * kBatchDepth * 2);
      copy_box_once(run_to, a.weights[tile.part], barrier, k, row, policy);
      copy_box_once(run_to + kHalfOutputs * kBatchDepth * 2, a.weights[tile.part], barrier, k,
                    row + static_cast<int>(a.heads.pairs), policy);
    }
    return;
  }
  if (!is_gated<kEnd>(a.skinny.linear.epilogue)) {
    copy_box_once(to, a.weights[tile.part], barrier, k, tile.first_output, policy);
    return;
  }
#pragma unroll
  for (int h = 0; h < 2 * T::kGroups; ++h)  // the halves of each group are one factor's and the other's
    copy_box_once(to + static_cast<uint32_t>(h * kHalfOutputs * kBatchDepth * 2), a.weights[h % 2], barrier,
                  k, tile.first_output + h / 2 * kHalfOutputs, policy);
}

/// A warpgroup multiplies and finishes its part of the tiles.
template <DType kType, BatchEnd kEnd, class T, class ForStages>
__device__ __forceinline__ void multiply_stages(const BatchArguments& a, const BatchShared<T>& shared,
                                                const char* received, int rank, int group, int first_tile,
                                                int tiles, int tile_stride, const ForStages& for_stages) {
  const SkinnyLinear& linear = a.skinny.linear;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  wait_for_inputs();
  if (threadIdx.x == 0) copy_first_inputs(shared.ring, a.x, for_stages);
  __syncwarp();
  RingPlace ring_place;
  uint32_t tile_parity = 0;
  for (int tile = first_tile; tile < tiles; tile += tile_stride, tile_parity ^= 1) {
    float total[T::kColumns / 2];
    multiply_slices<kType, T::kColumns>(total, shared.ring, ring_place, linear.in, rank * kSliceGroup, group);

    const Tile place = tile_at(a.skinny, tile, a.heights.outputs);
    const int thread = static_cast<int>(threadIdx.x);
    BatchItem items[T::kItemsOfThread];
    HeadItem of_heads;
    if constexpr (kEnd == BatchEnd::heads) {
      of_heads = head_item_of<T>(a, place, rank, thread);
    } else {
#pragma unroll
      for (int i = 0; i < T::kItemsOfThread; ++i)
        items[i] = item_of<kEnd, T>(a.skinny, place, a.heights.outputs, rank, thread + i * T::kMultiplying);
    }
    // Nobody sends before the receivers have begun, and have read what they had of the last tile.
    if (tile == first_tile) {
      wait_for_cluster();
    } else {
      wait_barrier(shared.sums_free(), tile_parity ^ 1);
    }
    if (thread == 0) expect_bytes(shared.sums_full(), T::kSumsBytes);
    send_sums<T>(shared, rank, total);
    wait_barrier(shared.sums_full(), tile_parity);
    if constexpr (kEnd == BatchEnd::heads) {
      finish_head_item<T>(of_heads, received, thread);
    } else {
#pragma unroll
      for (int i = 0; i < T::kItemsOfThread; ++i)
        finish_item<kEnd, T>(a.skinny, linear.parts[place.part], items[i], received,
                             thread + i * T::kMultiplying);
    }
    // Nobody asks after the last tile, and a block that has all its sums may end.
    if (tile + tile_stride < tiles) {
      __syncwarp();
      if (lane < kBatchCluster) arrive_at(shared.sums_free(), lane);
    }
  }
}

#endif

template <DType kType, class T, BatchEnd kEnd>
__global__ void __launch_bounds__(T::kThreads, 1) linear_batch(const __grid_constant__ BatchArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  __shared__ uint64_t barriers[kRingBarriers];  // also what tells that there is code
  extern __shared__ char dynamic[];
  const uint32_t dynamic_at = shared_address(dynamic);
  // Sums last: of the last stage, too, warpgroups multiply what lies behind a low tile's weights.
  const uint32_t stages = (dynamic_at + 1023) & ~1023U;  // swizzles repeat there
  const BatchShared<T> shared{
      .ring = {.stages = stages, .barriers = shared_address(barriers), .heights = a.heights},
      .sums = stages + T::kRingBytes};
  const int rank = rank_in_cluster();
  begin_next_kernel();
  if (threadIdx.x == 0) {
    prefetch_map(a.x);
    init_ring(shared.ring, T::kMultiplying / kWarp);
    init_barrier(shared.sums_full(), 1);
    init_barrier(shared.sums_free(), kBatchCluster * T::kMultiplying / kWarp);
    fence_barriers();
  }
  __syncthreads();
  arrive_relaxed();  // the barriers are fenced

  const int tiles = a.skinny.first_tile[a.skinny.linear.part_count];
  const int first_tile = static_cast<int>(blockIdx.x) / kBatchCluster;
  const int tile_stride = static_cast<int>(gridDim.x) / kBatchCluster;
  // The same for a warp, which the compiler sees this way: descriptors are made of it.
  const int group = __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / kGroupThreads, 0);
  const auto for_stages = [&](const auto& stage) {
    for_each_stage(a.skinny.linear.in, rank, first_tile, tiles, tile_stride, stage);
  };
  if (group == T::kGroups) {
    if (is_elected()) {
      prefetch_map(a.weights[0]);
      const uint64_t policy = weights_policy(a.skinny.is_read_once);
      copy_stages(shared.ring, a.x, for_stages, [&](uint32_t to, uint32_t barrier, int tile, int k) {
        copy_weights<kEnd, T>(a, policy, to, barrier, tile, k);
      });
    }
    __syncwarp();
    wait_for_inputs();
    wait_for_cluster();
  } else {
    multiply_stages<kType, kEnd>(a, shared, dynamic + (shared.sums - dynamic_at), rank, group, first_tile,
                                 tiles, tile_stride, for_stages);
  }
#endif
}

}  // namespace ingot::cuda
