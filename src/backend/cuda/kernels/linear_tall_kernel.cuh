// The kernel of linear_tall.h. A block computes one tile for up to 64 rows of inputs, over all of K: as tall
// a tile as there are multiprocessors for, so that the inputs pass through each of them once, and blocks have
// nothing to send each other. Eight weight rows of one factor and of the other in turn are such that a thread
// has both sums of its outputs.
#pragma once

#include "backend/cuda/kernels/linear_stages.cuh"
#include "backend/cuda/kernels/linear_tall.h"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/team_barriers.cuh"

namespace ingot::cuda {

inline constexpr int kMostTallGroups = 2 * kMostTallOutputs / kGroupOutputs;  // of weight rows

template <int kColumns_>
struct TallTile {
  static constexpr int kColumns = kColumns_;                      // rows of inputs
  static constexpr int kInputBytes = kColumns * kBatchDepth * 2;  // of a stage
  // Behind the ring lies what warpgroups read behind a tile's last rows.
  static constexpr int kRingBytes =
      (kBatchSharedBytes - kGroupOutputs * kBatchDepth * 2 - 1024) / 1024 * 1024;
};

struct TallArguments {
  CUtensorMap x;
  CUtensorMap weights;
  SkinnyArguments skinny;
  BatchHeights heights;
  bool is_up_first;  // of the eights of weight rows
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Finishes this thread's outputs, each lane one of eight, of some rows. Rounded ones are gathered first, in
/// place of the ring: no other warp writes to the 32 bytes that memory takes at a time.
template <class T>
__device__ __forceinline__ void finish_tall_tile(const TallArguments& a, float (&sums)[T::kColumns / 2],
                                                 char* ring, int first_output, int threads) {
  const SkinnyLinear& linear = a.skinny.linear;
  const SkinnyPart& part = linear.parts[0];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kWarp;
  const bool is_odd = lane / 4 % 2 != 0;
  const int output = thread / kWarp * kPieceRows + lane / 8 * 2;  // of two
  const bool is_there = output < a.heights.outputs && first_output + output < part.outputs;
  // Bytes: an odd number of sixteens, so that no two lanes' pairs are in the same bank.
  const int pitch = (a.heights.outputs / kPieceRows | 1) * 16;
  const auto place = [&](int row) { return row * int64_t{part.outputs} + first_output; };
  wait_for_team(1, threads);  // nobody reads the ring any more
  // The first eight rows' sums become outputs, the others move up: instructions that run once take as long to
  // arrive as to run.
#pragma unroll 1
  for (int rows = 0; rows < T::kColumns; rows += 8) {
    float y[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float lower = sums[r];
      const float upper = sums[2 + r];
      y[r] = __fmul_rn(activated(LinearActivation::silu, a.is_up_first ? upper : lower),
                       a.is_up_first ? lower : upper);
    }
#pragma unroll
    for (int c = 0; c + 4 < T::kColumns / 2; ++c) sums[c] = sums[c + 4];
    // Of two lanes' outputs of two rows, each takes those of one row.
    const float other = __shfl_xor_sync(0xffffffffU, is_odd ? y[0] : y[1], 4);
    const float2 pair = is_odd ? float2{other, y[1]} : float2{y[0], other};
    const int row = rows + lane % 4 * 2 + (is_odd ? 1 : 0);
    if (row >= linear.rows || !is_there) continue;
    if (part.is_out_read) *reinterpret_cast<float2*>(part.out + place(row) + output) = pair;
    *reinterpret_cast<__nv_bfloat162*>(ring + row * pitch + output * 2) =
        __floats2bfloat162_rn(pair.x, pair.y);
  }
  if (part.out_bf16 == nullptr) return;
  wait_for_team(1, threads);
  constexpr int kMostFours = kMostTallOutputs / kPieceRows;
  const int fours = min(a.heights.outputs, part.outputs - first_output) / kPieceRows;  // of registers, a row
#pragma unroll 1
  for (int i = thread; i < static_cast<int>(linear.rows) * kMostFours; i += threads) {
    const int row = i / kMostFours;
    const int four = i % kMostFours;
    if (four < fours)
      reinterpret_cast<uint4*>(part.out_bf16 + place(row))[four] =
          reinterpret_cast<const uint4*>(ring + row * pitch)[four];
  }
}

/// A warpgroup multiplies its rows of the tile, over all slices.
template <class T>
__device__ __forceinline__ void multiply_tall_stages(float (&whole)[T::kColumns / 2], int64_t in,
                                                     const StageRing<T::kInputBytes>& ring, int group) {
  RingPlace place;
#pragma unroll 1
  for (int first = 0; first < kSlices; first += kSliceGroup) {
    float total[T::kColumns / 2];
    multiply_slices<DType::bf16, T::kColumns>(total, ring, place, in, first, group);
#pragma unroll
    for (int c = 0; c < T::kColumns / 2; ++c) whole[c] = first == 0 ? total[c] : whole[c] + total[c];
  }
}

#endif

/// Of a warpgroup for each 64 rows of the tile and one that copies.
template <class T>
__global__ void __launch_bounds__((kMostTallGroups + 1) * kGroupThreads, 1)
    linear_tall(const __grid_constant__ TallArguments a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  __shared__ uint64_t barriers[kRingBarriers];
  extern __shared__ char dynamic[];
  const uint32_t dynamic_at = shared_address(dynamic);
  const uint32_t stages = (dynamic_at + 1023) & ~1023U;  // swizzles repeat there
  const StageRing<T::kInputBytes> ring{
      .stages = stages, .barriers = shared_address(barriers), .heights = a.heights};
  begin_next_kernel();
  const int threads = static_cast<int>(blockDim.x) - kGroupThreads;  // that multiply
  if (threadIdx.x == 0) {
    prefetch_map(a.x);
    init_ring(ring, threads / kWarp);
    fence_barriers();
  }
  __syncthreads();

  const int64_t in = a.skinny.linear.in;
  const int first_output = static_cast<int>(blockIdx.x) * a.heights.outputs;
  const auto for_stages = [&](const auto& stage) {
    for (int i = 0; i < kSlices; ++i) {
      if (!for_stages_of_slice(in, i, [&](int k) { return stage(0, k); })) return;
    }
  };
  // The same for a warp, which the compiler sees this way: descriptors are made of it.
  const int warp = __shfl_sync(0xffffffffU, static_cast<int>(threadIdx.x) / kWarp, 0);
  if (warp >= threads / kWarp) {
    set_fewer_registers<24>();
    if (warp == threads / kWarp && is_elected()) {
      prefetch_map(a.weights);
      const uint64_t policy = weights_policy(a.skinny.is_read_once);
      copy_stages(ring, a.x, for_stages, [&](uint32_t to, uint32_t barrier, int, int k) {
        copy_pair_box_once(to, a.weights, barrier, k, first_output, policy);
      });
    }
    __syncwarp();
    wait_for_inputs();
  } else {
    set_more_registers<112>();
    wait_for_inputs();
    if (threadIdx.x == 0) copy_first_inputs(ring, a.x, for_stages);
    __syncwarp();
    float sums[T::kColumns / 2];
    multiply_tall_stages<T>(sums, in, ring, warp / (kGroupThreads / kWarp));
    finish_tall_tile<T>(a, sums, dynamic + (stages - dynamic_at), first_output, threads);
  }
#endif
}

}  // namespace ingot::cuda
