// What the parts of the kernel of linear_batch.h share: its arguments, a block's shared memory and the order
// of its steps.
#pragma once

#include <cuda.h>

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_stages.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/linear_usual.cuh"

namespace ingot::cuda {

inline constexpr int kBatchCluster = kSlices / kSliceGroup;
inline constexpr int kHalfOutputs = kGroupOutputs / 2;

using BatchEnd = LinearEnd;  // the usual ones have kernels of their own

/// Heads are cut up in runs of 16 pairs. Of a group's 64 weight rows, the lower half has the first values of
/// two runs, the upper half the second values.
inline constexpr int kRunPairs = 16;
inline constexpr int kRunRows = 2 * kRunPairs;
struct RunOfPairs {
  int head;   // of the part
  int first;  // pair of the head

  /// `runs_log2`: of a head's number of runs.
  __device__ RunOfPairs(int run, int runs_log2)
      : head(run >> runs_log2), first((run & ((1 << runs_log2) - 1)) * kRunPairs) {}
};

struct BatchArguments {
  CUtensorMap x;
  CUtensorMap weights[kMostLinearParts];  // of a gated pair: both
  SkinnyArguments skinny;
  BatchHeights heights;
  LinearHeads heads;  // of BatchEnd::heads
  int runs_log2 = 0;  // of a head
};

/// kGroups: of 64 weight rows. kColumns: rows of inputs.
template <int kGroups_, int kColumns_>
struct BatchTile {
  static constexpr int kGroups = kGroups_;
  static constexpr int kColumns = kColumns_;
  static constexpr int kMultiplying = kGroups * kGroupThreads;  // threads
  static constexpr int kThreads = kMultiplying + kWarp;
  static constexpr int kInputBytes = kColumns * kBatchDepth * 2;  // of a stage
  // Sums of a rank's outputs: of each rank a float4 of four rows and one output, of each lane, …
  static constexpr int kFours = kColumns / 16;  // … sixteen rows, …
  static constexpr int kSources = 2 * kGroups;  // … eight outputs of the lower and upper half of each group
  static constexpr int kItems = kSources * kFours * kWarp;  // that a rank finishes
  static constexpr int kItemsOfThread = (kItems + kMultiplying - 1) / kMultiplying;
  static constexpr int kRankBytes = kItems * 16;
  static constexpr int kSumsBytes = kBatchCluster * kRankBytes;
  static constexpr int kBoxOfGroup = kGroupOutputs * kBatchDepth * 2;
  // Behind the ring lie the sums, and what warpgroups read behind a low tile's weights.
  static constexpr int kBehindBytes = kSumsBytes < kBoxOfGroup ? kBoxOfGroup : kSumsBytes;
  static constexpr int kRingBytes = (kBatchSharedBytes - kBehindBytes - 1024) / 1024 * 1024;
};

/// A block's shared memory.
template <class T>
struct BatchShared {
  StageRing<T::kInputBytes> ring;
  uint32_t sums;

  __device__ uint32_t sums_full() const { return ring.barriers_behind(); }
  __device__ uint32_t sums_free() const { return ring.barriers_behind() + 8; }
};

/// Calls stage(tile, k) for the stages of a block in the order in which they are copied and multiplied, until
/// it returns false.
template <class Stage>
__device__ __forceinline__ void for_each_stage(int64_t in, int rank, int first_tile, int tiles,
                                               int tile_stride, const Stage& stage) {
  for (int tile = first_tile; tile < tiles; tile += tile_stride) {
    for (int i = 0; i < kSliceGroup; ++i) {
      if (!for_stages_of_slice(in, rank * kSliceGroup + i, [&](int k) { return stage(tile, k); })) return;
    }
  }
}

}  // namespace ingot::cuda
