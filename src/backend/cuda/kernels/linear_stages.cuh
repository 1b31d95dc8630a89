// The ring of stages in shared memory that kernels of some 10 to 64 rows multiply from: a stage has 64 values
// of the weight rows of a tile and of the rows of inputs. One thread has the copy engine fill them, and a
// warpgroup for each 64 weight rows multiplies what is there.
//
// Weights of the first stages are asked for before the inputs are there, the inputs by another thread as
// soon as they are. Whatever else is read meanwhile waits behind those weights: what the kernel ahead still
// reads, then the inputs. So no more of them are on their way at a time than keep memory busy: the 8B's step
// of 64 rows took 8.84 ms with whole rings asked for at once, 8.78 ms so (H200).
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/linear_fragments.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_slices.cuh"
#include "backend/cuda/kernels/tensor_copies.cuh"
#include "backend/cuda/kernels/warpgroup_mma.cuh"

namespace ingot::cuda {

inline constexpr int kMostBatchRows = 64;  // of inputs of a launch
inline constexpr int kBatchDepth = 64;     // values of a row in a stage: 128 bytes
inline constexpr int kMostStages = 24;
inline constexpr int kBytesAhead = 72 << 10;  // of a block's weights that are on their way before its inputs
inline constexpr int kBatchSharedBytes = (227 << 10) - 1024;  // the barriers have the rest

/// How a launch cuts up the weight rows. A tile may be lower than what the warpgroups multiply: what they
/// have beyond it is not used.
struct BatchHeights {
  int outputs;      // of a tile
  int rows;         // of weights that are copied for a tile
  int stage_bytes;  // weights and inputs
  int stages;

  __host__ __device__ int weight_bytes() const { return rows * kBatchDepth * 2; }  // of a stage
};

/// Stages of a block, inputs first, and their barriers, which have room for two more.
template <int kInputBytes>
struct StageRing {
  uint32_t stages;
  uint32_t barriers;
  BatchHeights heights;

  __device__ uint32_t stage(int i) const { return stages + static_cast<uint32_t>(i * heights.stage_bytes); }
  __device__ uint32_t weights(int i) const { return stage(i) + kInputBytes; }
  __device__ uint32_t barrier(int i) const { return barriers + static_cast<uint32_t>(i * 8); }
  __device__ uint32_t full(int i) const { return barrier(i); }
  __device__ uint32_t free(int i) const { return barrier(kMostStages + i); }
  /// The weights that a stage has first, whose inputs come on their own.
  __device__ uint32_t has_weights(int i) const { return barrier(2 * kMostStages + i); }
  __device__ uint32_t barriers_behind() const { return barrier(3 * kMostStages); }
};
inline constexpr int kRingBarriers = 3 * kMostStages + 2;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// By one thread, for so many warps that multiply.
template <int kInputBytes>
__device__ __forceinline__ void init_ring(const StageRing<kInputBytes>& ring, int warps) {
  for (int i = 0; i < ring.heights.stages; ++i) {
    init_barrier(ring.full(i), 1);
    init_barrier(ring.has_weights(i), 1);
    init_barrier(ring.free(i), warps);
  }
}

/// One thread asks for all stages but the first inputs. for_stages(f) calls f(tile, k) for a block's stages
/// in order until it returns false; copy_weights(to, barrier, tile, k) asks for a stage's weights.
template <int kInputBytes, class ForStages, class CopyWeights>
__device__ __forceinline__ void copy_stages(const StageRing<kInputBytes>& ring, const CUtensorMap& inputs,
                                            const ForStages& for_stages, const CopyWeights& copy_weights) {
  const int weight_bytes = ring.heights.weight_bytes();
  const int most_on_their_way = max(kBytesAhead / weight_bytes, 1);
  int ahead = 0;
  for_stages([&](int tile, int k) {
    if (ahead >= most_on_their_way) wait_barrier(ring.has_weights(ahead - most_on_their_way), 0);
    expect_bytes(ring.has_weights(ahead), weight_bytes);
    copy_weights(ring.weights(ahead), ring.has_weights(ahead), tile, k);
    return ++ahead < ring.heights.stages;
  });
  wait_for_inputs();
  int stage = 0;
  uint32_t parity = 1;  // all are free at first
  for_stages([&](int tile, int k) {
    if (ahead > 0) {
      --ahead;
    } else {
      wait_barrier(ring.free(stage), parity);
      expect_bytes(ring.full(stage), weight_bytes + kInputBytes);
      copy_weights(ring.weights(stage), ring.full(stage), tile, k);
      copy_box(ring.stage(stage), inputs, ring.full(stage), k, 0);
    }
    stage = stage + 1 == ring.heights.stages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
    return true;
  });
}

/// Another asks for the first inputs once they are there.
template <int kInputBytes, class ForStages>
__device__ __forceinline__ void copy_first_inputs(const StageRing<kInputBytes>& ring,
                                                  const CUtensorMap& inputs, const ForStages& for_stages) {
  int stage = 0;
  for_stages([&](int, int k) {
    expect_bytes(ring.full(stage), kInputBytes);
    copy_box(ring.stage(stage), inputs, ring.full(stage), k, 0);
    return ++stage < ring.heights.stages;
  });
}

/// Where a warp is that multiplies.
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  bool is_first_round = true;
};

/// The sums of a warpgroup's weight rows over the stages of a slice, from zero (multiply_tiles()).
template <DType kType, int kColumns, int kInputBytes>
__device__ __forceinline__ void multiply_slice(float (&sums)[kColumns / 2],
                                               const StageRing<kInputBytes>& ring, RingPlace& place,
                                               const Slice& slice, int group) {
  const auto multiply_stage = [&](auto products) {
    if (place.is_first_round) wait_barrier(ring.has_weights(place.stage), 0);
    wait_barrier(ring.full(place.stage), place.parity);
    const uint64_t weights = tile_descriptor(ring.weights(place.stage) +
                                             static_cast<uint32_t>(group * kGroupOutputs * kBatchDepth * 2));
    const uint64_t rows = tile_descriptor(ring.stage(place.stage));
    begin_products();
#pragma unroll
    for (int product = 0; product < products.value; ++product)
      multiply_tiles<kType, kColumns>(sums, weights + kStepOfTile * product, rows + kStepOfTile * product, 1);
    commit_products();
    wait_for_products<0>();
    if (threadIdx.x % kWarp == 0) arrive(ring.free(place.stage));
    if (++place.stage == ring.heights.stages) place = {0, place.parity ^ 1, false};
  };
#pragma unroll
  for (int c = 0; c < kColumns / 2; ++c) sums[c] = 0;
#pragma unroll 1
  for (int step = 0; step + 1 < slice.steps; step += 2)
    multiply_stage(std::integral_constant<int, kBatchDepth / 16>());
  if (slice.steps % 2 != 0) multiply_stage(std::integral_constant<int, kStep / 16>());
}

/// The same over a group of slices from number `first` on, whose sums are added as they come.
template <DType kType, int kColumns, int kInputBytes>
__device__ __forceinline__ void multiply_slices(float (&total)[kColumns / 2],
                                                const StageRing<kInputBytes>& ring, RingPlace& place,
                                                int64_t in, int first, int group) {
#pragma unroll 1
  for (int i = 0; i < kSliceGroup; ++i) {
    float sums[kColumns / 2];
    multiply_slice<kType, kColumns>(sums, ring, place, slice_of(in, first + i), group);
#pragma unroll
    for (int c = 0; c < kColumns / 2; ++c) total[c] = i == 0 ? sums[c] : total[c] + sums[c];
  }
}

#endif

/// Calls f() with the fewest rows that kernels have and that hold so many.
template <class F>
void with_columns(int64_t rows, const F& f) {
  if (rows <= 16) return f(std::integral_constant<int, 16>());
  if (rows <= 32) return f(std::integral_constant<int, 32>());
  if (rows <= 48) return f(std::integral_constant<int, 48>());
  f(std::integral_constant<int, kMostBatchRows>());
}

/// Calls stage(k) for the stages of a slice, the last of which may reach into the next slice, until it
/// returns false. Returns whether none did.
template <class Stage>
__device__ __forceinline__ bool for_stages_of_slice(int64_t in, int i, const Stage& stage) {
  const Slice slice = slice_of(in, i);
  for (int step = 0; step < slice.steps; step += 2) {
    if (!stage((slice.begin + step) * kStep)) return false;
  }
  return true;
}

}  // namespace ingot::cuda
