// The kernel of linear_batch.h. A cluster of four blocks computes tiles of weight rows for up to 64 rows of
// inputs, each block a fourth of K: one group of slices. One warp of a block has the copy engine fill a ring
// of stages in shared memory, each with 64 values of the tile's weight rows and of the inputs; the ring
// reaches across tiles, and its first weights are asked for while the kernel ahead is still running. A
// warpgroup for each 64 weight rows multiplies what is there, slice by slice from zero, and adds the slices'
// sums as they come. Then the blocks send each other the groups' sums: each finishes a fourth of the tile's
// outputs.
//
// The sums of a slice are those of a chain of m16n8k16 (linear_fragments.cuh): instructions of warpgroups
// give the same bits for the same sixteen values of k.
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/linear_batch_heads.cuh"
#include "backend/cuda/kernels/linear_batch_sums.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/tensor_copies.cuh"

namespace ingot::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// One thread asks for all stages of its block.
template <BatchEnd kEnd, class T>
__device__ __forceinline__ void copy_stages(const BatchArguments& a, const BatchShared<T>& shared, int rank,
                                            int first_tile, int tiles, int tile_stride) {
  const SkinnyLinear& linear = a.skinny.linear;
  const bool gated = is_gated<kEnd>(linear.epilogue);
  const uint64_t policy = weights_policy(a.skinny.is_read_once);
  const BatchHeights& heights = a.heights;
  const auto copy_weights_of = [&](int i, int tile_number, int k) {
    expect_bytes(shared.full(i), heights.rows * kBatchDepth * 2 + T::kInputBytes);
    const Tile tile = tile_at(a.skinny, tile_number, heights.outputs);
    if constexpr (kEnd == BatchEnd::heads) {
      for (int run = 0; run < heights.outputs / kRunRows; ++run) {
        const RunOfPairs pairs(tile.first_output / kRunRows + run, a.runs_log2);
        const int row = pairs.head * static_cast<int>(a.heads.head_dim) + pairs.first;
        const uint32_t to =
            shared.weights(i) +
            static_cast<uint32_t>((run / 2 * kGroupOutputs + run % 2 * kRunPairs) * kBatchDepth * 2);
        copy_box_once(to, a.weights[tile.part], shared.full(i), k, row, policy);
        copy_box_once(to + kHalfOutputs * kBatchDepth * 2, a.weights[tile.part], shared.full(i), k,
                      row + static_cast<int>(a.heads.pairs), policy);
      }
      return;
    }
    if (!gated) {
      copy_box_once(shared.weights(i), a.weights[tile.part], shared.full(i), k, tile.first_output, policy);
      return;
    }
#pragma unroll
    for (int h = 0; h < 2 * T::kGroups; ++h)  // the halves of each group are one factor's and the other's
      copy_box_once(shared.weights(i) + static_cast<uint32_t>(h * kHalfOutputs * kBatchDepth * 2),
                    a.weights[h % 2], shared.full(i), k, tile.first_output + h / 2 * kHalfOutputs, policy);
  };
  prefetch_map(a.x);
  prefetch_map(a.weights[0]);
  // Nobody writes weights: the first are on their way before the inputs are there.
  int ahead = 0;
  for_each_stage(linear.in, rank, first_tile, tiles, tile_stride, [&](int tile, int k) {
    copy_weights_of(ahead, tile, k);
    return ++ahead < heights.stages;
  });
  wait_for_inputs();
  int stage = 0;
  uint32_t parity = 1;  // all are free at first
  int left_ahead = ahead;
  for_each_stage(linear.in, rank, first_tile, tiles, tile_stride, [&](int tile, int k) {
    if (left_ahead > 0) {
      --left_ahead;
    } else {
      wait_barrier(shared.free(stage), parity);
      copy_weights_of(stage, tile, k);
    }
    copy_box(shared.stage(stage), a.x, shared.full(stage), k, 0);
    stage = stage + 1 == heights.stages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
    return true;
  });
}

/// A warpgroup multiplies and finishes its part of the tiles.
template <DType kType, BatchEnd kEnd, class T>
__device__ __forceinline__ void multiply_stages(const BatchArguments& a, const BatchShared<T>& shared,
                                                const char* received, int rank, int group, int first_tile,
                                                int tiles, int tile_stride) {
  const SkinnyLinear& linear = a.skinny.linear;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  wait_for_inputs();
  int stage = 0;
  uint32_t parity = 0;
  uint32_t tile_parity = 0;
  for (int tile = first_tile; tile < tiles; tile += tile_stride, tile_parity ^= 1) {
    float total[T::kColumns / 2];
#pragma unroll 1
    for (int i = 0; i < kSliceGroup; ++i) {
      const Slice slice = slice_of(linear.in, rank * kSliceGroup + i);
      float sums[T::kColumns / 2] = {};
      const auto multiply_stage = [&](auto products) {
        wait_barrier(shared.full(stage), parity);
        const uint64_t weights = tile_descriptor(
            shared.weights(stage) + static_cast<uint32_t>(group * kGroupOutputs * kBatchDepth * 2));
        const uint64_t rows = tile_descriptor(shared.stage(stage));
        begin_products();
#pragma unroll
        for (int product = 0; product < products.value; ++product)
          multiply_tiles<kType, T::kColumns>(sums, weights + kStepOfTile * product,
                                             rows + kStepOfTile * product, 1);
        commit_products();
        wait_for_products<0>();
        if (lane == 0) arrive(shared.free(stage));
        stage = stage + 1 == a.heights.stages ? 0 : stage + 1;
        if (stage == 0) parity ^= 1;
      };
#pragma unroll 1
      for (int step = 0; step + 1 < slice.steps; step += 2)
        multiply_stage(std::integral_constant<int, kBatchDepth / 16>());
      if (slice.steps % 2 != 0) multiply_stage(std::integral_constant<int, kStep / 16>());
#pragma unroll
      for (int c = 0; c < T::kColumns / 2; ++c) total[c] = i == 0 ? sums[c] : total[c] + sums[c];
    }

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
  __shared__ uint64_t barriers[2 * T::kMostStages + 2];  // also what tells that there is code
  extern __shared__ char dynamic[];
  const uint32_t dynamic_at = shared_address(dynamic);
  // Sums last: of the last stage, too, warpgroups multiply what lies behind a low tile's weights.
  const uint32_t stages = (dynamic_at + 1023) & ~1023U;  // swizzles repeat there
  const BatchShared<T> shared{.sums = stages + T::kRingBytes,
                              .stages = stages,
                              .barriers = shared_address(barriers),
                              .stage_bytes = a.heights.stage_bytes};
  const int rank = rank_in_cluster();
  begin_next_kernel();
  if (threadIdx.x == 0) {
    for (int i = 0; i < a.heights.stages; ++i) {
      init_barrier(shared.full(i), 1);
      init_barrier(shared.free(i), T::kMultiplying / kWarp);
    }
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
  if (group == T::kGroups) {
    if (is_elected()) copy_stages<kEnd>(a, shared, rank, first_tile, tiles, tile_stride);
    __syncwarp();
    wait_for_inputs();
    wait_for_cluster();
  } else {
    multiply_stages<kType, kEnd>(a, shared, dynamic + (shared.sums - dynamic_at), rank, group, first_tile,
                                 tiles, tile_stride);
  }
#endif
}

}  // namespace ingot::cuda
