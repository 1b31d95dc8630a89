// The device code of linear_tensor.h, see linear_tensor.cuh.
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_tensor.cuh"
#include "backend/cuda/kernels/linear_tensor_epilogue.cuh"

namespace ingot::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// The barriers of a stage: `full` when its bytes are there, `free` when nobody reads them any more.
template <int kStages>
struct TensorRing {
  static constexpr int kCount = kStages;
  uint32_t stages;  // shared memory
  uint32_t barriers;
  int stage = 0;
  uint32_t parity = 0;

  __device__ uint32_t full(int i) const { return barriers + static_cast<uint32_t>(i * 8); }
  __device__ uint32_t free(int i) const { return barriers + static_cast<uint32_t>((kStages + i) * 8); }
  __device__ void advance() {
    stage = stage + 1 == kStages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
  }
};

/// One thread of each block asks for all its tiles' stages.
template <int kGroups, int kColumns, int kCluster, class Ring>
__device__ __forceinline__ void copy_tiles(const TensorArguments& a, Ring ring, int tiles, int stride,
                                           int first_tile, int rank) {
  using Tile = TensorTile<kGroups, kColumns, kCluster>;
  const bool gated = a.linear.epilogue.gated;
  const int steps = static_cast<int>((a.linear.in + kTensorDepth - 1) / kTensorDepth);
  const auto copy_weights = [&](const TensorPlace& place, int stage, int step) {
    const uint32_t to = ring.stages + static_cast<uint32_t>(stage * Tile::kStageBytes);
    const int k = step * kTensorDepth;
    if (!gated) {
      copy_box(to, a.weights[place.part], ring.full(stage), k, place.output);
      return;
    }
    constexpr int kHalf = kGroupOutputs / 2;  // a warpgroup's: of either factor
#pragma unroll
    for (int i = 0; i < 2 * kGroups; ++i)
      copy_box(to + static_cast<uint32_t>(i * kHalf * kTensorDepth * 2), a.weights[i % 2], ring.full(stage),
               k, place.output + i / 2 * kHalf);
  };
  const auto copy_rows = [&](const TensorPlace& place, int stage, int step) {
    constexpr int kRows = kColumns / kCluster;
    const uint32_t to = ring.stages + static_cast<uint32_t>(stage * Tile::kStageBytes + Tile::kWeightBytes +
                                                            rank * kRows * kTensorDepth * 2);
    if constexpr (kCluster == 1) {
      copy_box(to, a.x, ring.full(stage), step * kTensorDepth, place.row);
    } else {
      copy_box_to_all(to, a.x, ring.full(stage), step * kTensorDepth, place.row + rank * kRows,
                      static_cast<uint16_t>((1 << kCluster) - 1));
    }
  };

  prefetch_map(a.x);
  prefetch_map(a.weights[0]);
  // The first weights, which nobody writes, come while the kernel ahead is still running.
  const int ahead = a.linear.weights_are_written || first_tile >= tiles ? 0 : min(steps, ring.kCount);
  for (int i = 0; i < ahead; ++i) {
    expect_bytes(ring.full(i), Tile::kStageBytes);
    copy_weights(place_of<Tile, kCluster, kColumns>(a, first_tile, rank), i, i);
  }
  wait_for_inputs();
  int left_ahead = ahead;
  for (int tile = first_tile; tile < tiles; tile += stride) {
    const TensorPlace place = place_of<Tile, kCluster, kColumns>(a, tile, rank);
    for (int step = 0; step < steps; ++step) {
      if (left_ahead > 0) {
        --left_ahead;
      } else {
        wait_barrier(ring.free(ring.stage), ring.parity ^ 1);
        expect_bytes(ring.full(ring.stage), Tile::kStageBytes);
        copy_weights(place, ring.stage, step);
      }
      copy_rows(place, ring.stage, step);
      ring.advance();
    }
  }
}

/// A warpgroup multiplies and finishes its part of the tiles.
template <DType kType, int kGroups, int kColumns, int kCluster, class Ring>
__device__ __forceinline__ void multiply_stages(const TensorArguments& a, Ring ring, int tiles, int stride,
                                                int first_tile, int rank, int group, float* staging) {
  using Tile = TensorTile<kGroups, kColumns, kCluster>;
  const bool gated = a.linear.epilogue.gated;
  const int steps = static_cast<int>((a.linear.in + kTensorDepth - 1) / kTensorDepth);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto release = [&](int stage) {
    if (lane < kCluster) {
      if constexpr (kCluster == 1) {
        arrive(ring.free(stage));
      } else {
        arrive_at(ring.free(stage), lane);
      }
    }
  };
  wait_for_inputs();
  float sums[kColumns / 2];
  for (int tile = first_tile; tile < tiles; tile += stride) {
    const TensorPlace place = place_of<Tile, kCluster, kColumns>(a, tile, rank);
    int reading = 0;
    for (int step = 0; step < steps; ++step) {
      wait_barrier(ring.full(ring.stage), ring.parity);
      const uint32_t at = ring.stages + static_cast<uint32_t>(ring.stage * Tile::kStageBytes);
      const uint64_t weights =
          tile_descriptor(at + static_cast<uint32_t>(group * kGroupOutputs * kTensorDepth * 2));
      const uint64_t rows = tile_descriptor(at + Tile::kWeightBytes);
      begin_products();
#pragma unroll
      for (int i = 0; i < kTensorDepth / 16; ++i)
        multiply_tiles<kType, kColumns>(sums, weights + kStepOfTile * i, rows + kStepOfTile * i,
                                        step + i == 0 ? 0 : 1);
      commit_products();
      wait_for_products<1>();  // the stage before has been read
      if (step > 0) release(reading);
      reading = ring.stage;
      ring.advance();
    }
    const auto wait = [&] {
      wait_for_products<0>();
      release(reading);
    };
    const int outputs = gated ? kGroupOutputs / 2 : kGroupOutputs;  // of this warpgroup
    const int output = place.output + group * outputs;
    const bool is_whole =
        place.row + kColumns <= a.linear.rows && output + outputs <= a.linear.parts[place.part].outputs &&
        (a.linear.stride == 0 ? a.linear.parts[place.part].outputs : a.linear.stride) % 4 == 0;
    const auto finish = [&](auto is_gated, auto whole) {
      finish_tile<is_gated.value, whole.value, kColumns>(a, place.part, output, place.row, group, sums,
                                                         staging, wait);
    };
    using Yes = std::true_type;
    using No = std::false_type;
    if (gated) {
      is_whole ? finish(Yes(), Yes()) : finish(Yes(), No());
    } else {
      is_whole ? finish(No(), Yes()) : finish(No(), No());
    }
  }
}

#endif

template <DType kType, int kGroups, int kColumns, int kCluster>
__global__ void __launch_bounds__(TensorTile<kGroups, kColumns, kCluster>::kThreads,
                                  TensorTile<kGroups, kColumns, kCluster>::kBlocks)
    linear_tensor(const __grid_constant__ TensorArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using Tile = TensorTile<kGroups, kColumns, kCluster>;
  // Registers that the copying warpgroup leaves to the others; else all have enough.
  constexpr bool kMovesRegisters = Tile::kBlocks == 2 || (kGroups == 2 && kColumns == 256);
  __shared__ uint64_t barriers[2 * Tile::kStages];  // also what has_linear_tensor() looks for
  extern __shared__ char shared[];
  TensorRing<Tile::kStages> ring{.stages = (shared_address(shared) + 1023) & ~1023U,  // swizzles repeat there
                                 .barriers = shared_address(barriers)};
  const int rank = kCluster == 1 ? 0 : rank_in_cluster();
  begin_next_kernel();
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kStages; ++i) {
      init_barrier(ring.full(i), 1);
      init_barrier(ring.free(i), kCluster * kGroups * kGroupThreads / kWarp);
    }
    fence_barriers();
  }
  if constexpr (kCluster > 1) {
    synchronise_cluster();
  } else {
    __syncthreads();
  }

  const int tiles = a.first_pile[a.linear.part_count] * a.row_tiles;
  const int first_tile = static_cast<int>(blockIdx.x) / kCluster;
  const int stride = static_cast<int>(gridDim.x) / kCluster;
  // The same for a warp, which the compiler sees this way: descriptors are made of it.
  const int group = __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / kGroupThreads, 0);
  if (group == kGroups) {
    if constexpr (kMovesRegisters) set_fewer_registers<kGroups == 2 ? 40 : 56>();
    const int warp = __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / kWarp, 0);
    if (warp == kGroups * kGroupThreads / kWarp && is_elected())
      copy_tiles<kGroups, kColumns, kCluster>(a, ring, tiles, stride, first_tile, rank);
    wait_for_inputs();
  } else {
    if constexpr (kMovesRegisters) set_more_registers<kGroups == 2 ? 232 : 200>();
    auto* staging = reinterpret_cast<float*>(shared + (ring.stages - shared_address(shared)) +
                                             Tile::kStages * Tile::kStageBytes);
    multiply_stages<kType, kGroups, kColumns, kCluster>(a, ring, tiles, stride, first_tile, rank, group,
                                                        staging + group * Tile::kStagings * kStagedSums);
  }
  if constexpr (kCluster > 1) synchronise_cluster();  // nobody ends while another still writes to it
#endif
}

}  // namespace ingot::cuda
