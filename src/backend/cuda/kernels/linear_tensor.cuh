// The kernel of linear_tensor.h. Blocks stay and take tile after tile. One warp has the copy engine fill a
// ring of stages in shared memory, each with 64 values of the tile's weight rows and rows; one or two
// warpgroups multiply what is there, 64 weight rows each, and finish their sums while the ring fills for the
// next tile. The blocks of a cluster take neighbouring weight rows and share the rows, of which each brings
// its part to all.
#pragma once

#include <cuda.h>

#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tensor.h"
#include "backend/cuda/kernels/tensor_copies.cuh"
#include "backend/cuda/kernels/warpgroup_mma.cuh"

namespace ingot::cuda {

inline constexpr int kTensorDepth = 64;  // values of a row in a stage: 128 bytes
inline constexpr int kStagedRows = 32;   // of an epilogue at a time
inline constexpr int kStagedSums = kStagedRows * kGroupOutputs;

struct TensorArguments {
  CUtensorMap x;
  CUtensorMap weights[kMostLinearParts];  // of a gated pair: both
  TensorLinear linear;
  int first_pile[kMostLinearParts + 1];  // of each part, and of all; a pile: a cluster's weight rows
  int row_tiles;
  int row_tiles_of_group;  // that share weights while they are in the second-level cache
};

template <int kGroups, int kColumns, int kCluster>
struct TensorTile {
  static constexpr int kWeights = kGroups * kGroupOutputs;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kWeightBytes = kWeights * kTensorDepth * 2;
  static constexpr int kRowBytes = kColumns * kTensorDepth * 2;
  static constexpr int kStageBytes = kWeightBytes + kRowBytes;
  static constexpr int kStagings = kColumns > kStagedRows ? 2 : 1;  // of a warpgroup
  static constexpr int kStagingBytes = kGroups * kStagings * kStagedSums * 4;
  static constexpr int kBlocks = kGroups == 1 && kColumns <= 64 ? 2 : 1;  // of a multiprocessor
  // A multiprocessor has 228 KB of shared memory, of which each block costs 1 KB, and a block may have 227.
  static constexpr int kMostBytes = (228 / kBlocks - 1) * 1024 - 256;  // the barriers have the rest
  static constexpr int kStages = (kMostBytes - 1024 - kStagingBytes) / kStageBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes + kStagingBytes + 1024;
  static_assert(kStages >= 3);
};

struct TensorPlace {
  int part;
  int output;  // the part's first of the tile
  int row;
};

/// `tile`: of the whole launch, for a cluster.
template <class Tile, int kCluster, int kColumns>
__device__ inline TensorPlace place_of(const TensorArguments& a, int tile, int rank) {
  const int piles = a.first_pile[a.linear.part_count];
  const int group = tile / (a.row_tiles_of_group * piles);
  const int in_group = tile - group * a.row_tiles_of_group * piles;
  const int first_row_tile = group * a.row_tiles_of_group;
  const int width = min(a.row_tiles_of_group, a.row_tiles - first_row_tile);
  const int pile = in_group / width;
  int part = 0;
  while (pile >= a.first_pile[part + 1]) ++part;
  const int outputs = Tile::kWeights / (a.linear.epilogue.gated ? 2 : 1);
  return {.part = part,
          .output = ((pile - a.first_pile[part]) * kCluster + rank) * outputs,
          .row = (first_row_tile + in_group % width) * kColumns};
}

}  // namespace ingot::cuda
