// Launches of linear_tensor_kernel.cuh. Host code.
#pragma once

#include <algorithm>

#include "backend/cuda/kernels/linear_tensor_kernel.cuh"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {

template <DType kType, int kGroups, int kColumns, int kCluster>
void launch_linear_tensor(const Gpu& gpu, const TensorLinear& linear) {
  using Tile = TensorTile<kGroups, kColumns, kCluster>;
  constexpr int64_t kMostRowTiles = 8;  // of a group: with as many piles, what reads memory least
  const bool gated = linear.epilogue.gated;
  TensorArguments a = {};
  a.linear = linear;
  a.x = map_boxes({.data = linear.x,
                   .dtype = kType,
                   .rows = linear.rows,
                   .width = linear.in,
                   .stride = linear.pitch,
                   .box_rows = kColumns / kCluster});
  const auto map_weight = [&](const void* weight, int64_t outputs) {
    return map_boxes({.data = weight,
                      .dtype = kType,
                      .rows = outputs,
                      .width = linear.in,
                      .stride = linear.in,
                      .box_rows = gated ? kGroupOutputs / 2 : Tile::kWeights});
  };
  for (int i = 0; i < linear.part_count; ++i) {
    const TensorPart& part = linear.parts[i];
    const int64_t piles = divide_up(part.outputs, kCluster * Tile::kWeights / (gated ? 2 : 1));
    a.first_pile[i + 1] = a.first_pile[i] + static_cast<int>(piles);
    if (part.outputs > 0) a.weights[i] = map_weight(part.weight, part.outputs);
  }
  if (gated) a.weights[1] = map_weight(linear.parts[0].up, linear.parts[0].outputs);
  const int64_t row_tiles = divide_up(linear.rows, kColumns);
  a.row_tiles = static_cast<int>(row_tiles);
  a.row_tiles_of_group = static_cast<int>(divide_up(row_tiles, divide_up(row_tiles, kMostRowTiles)));
  const int tiles = a.first_pile[linear.part_count] * a.row_tiles;
  if (tiles == 0) return;

  const auto kernel = linear_tensor<kType, kGroups, kColumns, kCluster>;
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::kSharedBytes));
  const int clusters = std::min(tiles, gpu.multiprocessors / kCluster * Tile::kBlocks);
  launch_overlapped<TensorArguments>(gpu, kernel,
                                     {.blocks = static_cast<unsigned>(clusters * kCluster),
                                      .threads = Tile::kThreads,
                                      .shared_bytes = Tile::kSharedBytes,
                                      .cluster = kCluster},
                                     a);
}

}  // namespace ingot::cuda
