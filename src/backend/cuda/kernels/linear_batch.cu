#include "backend/cuda/kernels/linear_batch.h"

#include <algorithm>

#include "backend/cuda/kernels/linear_batch_kernel.cuh"
#include "backend/cuda/kernels/linear_tensor.h"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {
namespace {

constexpr int kFewestRows = 9;  // that it is for
constexpr int kMostRows = 64;   // of a launch
constexpr int kMostGroups = 4;

/// Clusters that run together.
template <DType kType, class T>
int most_clusters(const Gpu& gpu) {
  const auto kernel = linear_batch<kType, T, BatchEnd::any>;
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, T::kSharedBytes));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {kBatchCluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(gpu.multiprocessors / kBatchCluster * kBatchCluster));
  config.blockDim = dim3(T::kThreads);
  config.dynamicSmemBytes = T::kSharedBytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess || clusters < 1) return 1;
  return clusters;
}

/// Outputs of a tile, such that the clusters have as many weight rows each as they can; no bit depends on it.
int tile_outputs(SkinnyArguments& arguments, int clusters) {
  if (!arguments.linear.epilogue.gated) {
    int outputs = 0;
    for (int i = 0; i < arguments.linear.part_count; ++i) outputs += arguments.linear.parts[i].outputs;
    for (int rounds = 1;; ++rounds) {
      // Where many rows make the ring short, the tallest tiles are worth it only if they are all there is.
      const int groups = arguments.linear.rows > 32 && rounds > 1 ? kMostGroups - 1 : kMostGroups;
      int64_t tile = round_up(divide_up(outputs, int64_t{clusters} * rounds), kPieceRows);
      if (rounds == 1 && arguments.linear.rows <= 32) {
        // A small one takes half of the clusters: the next kernel begins on the others.
        constexpr int64_t kMost = 2 * kGroupOutputs;
        tile = std::max(tile, std::min(kMost, round_up(divide_up(outputs, clusters / 2 + 1), kPieceRows)));
      }
      for (; tile <= int64_t{groups} * kGroupOutputs; tile += kPieceRows) {
        if (count_tiles(arguments, static_cast<int>(tile)) <= clusters * rounds)
          return static_cast<int>(tile);
      }
    }
  }
  // Of gated ones, whole halves of groups.
  int best = 0;
  int64_t least = 0;
  for (int groups = kMostGroups; groups > 0; --groups) {
    const int64_t rows = divide_up(count_tiles(arguments, groups * kHalfOutputs), clusters) * groups;
    if (best != 0 && rows >= least) continue;
    best = groups * kHalfOutputs;
    least = rows;
  }
  return best;
}

template <DType kType, class T>
void launch(const Gpu& gpu, const SkinnyArguments& skinny, int outputs) {
  const SkinnyLinear& linear = skinny.linear;
  const bool gated = linear.epilogue.gated;
  BatchArguments a = {};
  a.skinny = skinny;
  a.heights.outputs = outputs;
  a.heights.rows = gated ? 2 * outputs : outputs;
  a.heights.stage_bytes = a.heights.rows * kBatchDepth * 2 + T::kInputBytes;
  a.heights.stages = std::min(T::kRingBytes / a.heights.stage_bytes, T::kMostStages);
  const int tiles = count_tiles(a.skinny, outputs);
  a.x = map_boxes({.data = linear.x,
                   .dtype = kType,
                   .rows = linear.rows,
                   .width = linear.in,
                   .stride = skinny.pitch,
                   .box_rows = T::kColumns});
  const auto map_weight = [&](const void* weight, int64_t rows) {
    return map_boxes({.data = weight,
                      .dtype = kType,
                      .rows = rows,
                      .width = linear.in,
                      .stride = linear.in,
                      .box_rows = gated ? kHalfOutputs : outputs});
  };
  for (int i = 0; i < linear.part_count; ++i) {
    const SkinnyPart& part = linear.parts[i];
    if (part.outputs > 0) a.weights[i] = map_weight(part.weight, part.outputs);
  }
  if (gated) a.weights[1] = map_weight(linear.parts[0].up, linear.parts[0].outputs);
  auto kernel = linear_batch<kType, T, BatchEnd::any>;
  if constexpr (kType == DType::bf16) {
    const BatchEnd end = end_of(linear);
    if (end == BatchEnd::plain) kernel = linear_batch<kType, T, BatchEnd::plain>;
    if (end == BatchEnd::gated_silu) kernel = linear_batch<kType, T, BatchEnd::gated_silu>;
  }
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, T::kSharedBytes));
  static const int clusters = most_clusters<kType, T>(gpu);  // a matter of the device
  launch_overlapped<BatchArguments>(
      gpu, kernel,
      {.blocks = static_cast<unsigned>(std::min(tiles, clusters) * kBatchCluster),
       .threads = T::kThreads,
       .shared_bytes = T::kSharedBytes,
       .cluster = kBatchCluster},
      a);
}

template <DType kType, int kColumns>
void run_columns(const Gpu& gpu, const SkinnyArguments& skinny, int outputs) {
  const int rows = skinny.linear.epilogue.gated ? 2 * outputs : outputs;
  switch (divide_up(rows, kGroupOutputs)) {
    case 1:
      return launch<kType, BatchTile<1, kColumns>>(gpu, skinny, outputs);
    case 2:
      return launch<kType, BatchTile<2, kColumns>>(gpu, skinny, outputs);
    case 3:
      return launch<kType, BatchTile<3, kColumns>>(gpu, skinny, outputs);
    default:
      return launch<kType, BatchTile<4, kColumns>>(gpu, skinny, outputs);
  }
}

template <DType kType>
void run(const Gpu& gpu, const SkinnyArguments& skinny, int outputs) {
  const int64_t rows = skinny.linear.rows;
  if (rows <= 16) return run_columns<kType, 16>(gpu, skinny, outputs);
  if (rows <= 32) return run_columns<kType, 32>(gpu, skinny, outputs);
  if (rows <= 48) return run_columns<kType, 48>(gpu, skinny, outputs);
  run_columns<kType, 64>(gpu, skinny, outputs);
}

/// Of the tallest tiles.
int clusters_of(const Gpu& gpu) {
  static const int clusters = most_clusters<DType::bf16, BatchTile<kMostGroups, kMostRows>>(gpu);
  return clusters;
}

bool has_linear_batch(const SkinnyLinear& linear) {
  return linear.rows >= kFewestRows && linear.in > 0 && has_linear_tensor();
}

}  // namespace

std::vector<int> batch_tiles(const Gpu& gpu, const SkinnyLinear& linear) {
  SkinnyArguments arguments{.linear = linear};
  if (!has_linear_batch(linear) || count_tiles(arguments, 1) == 0) return {};
  std::vector<int> tiles{tile_outputs(arguments, clusters_of(gpu))};
  const int step = kHalfOutputs;
  for (int tile = step; tile <= kMostGroups * (linear.epilogue.gated ? kHalfOutputs : kGroupOutputs);
       tile += step) {
    if (tile != tiles.front()) tiles.push_back(tile);
  }
  return tiles;
}

bool run_linear_batch(const Gpu& gpu, const SkinnyArguments& arguments, int tile) {
  const SkinnyLinear& linear = arguments.linear;
  if (!has_linear_batch(linear)) return false;
  SkinnyArguments all = arguments;
  if (count_tiles(all, 1) == 0) return true;
  const int outputs = tile > 0 ? tile : tile_outputs(all, clusters_of(gpu));
  for (int64_t first = 0; first < linear.rows; first += kMostRows) {
    SkinnyArguments some = some_rows(all, first, kMostRows);
    some.is_read_once = linear.rows <= kMostRows;
    if (linear.dtype == DType::bf16) {
      run<DType::bf16>(gpu, some, outputs);
    } else {
      run<DType::f16>(gpu, some, outputs);
    }
  }
  return true;
}

}  // namespace ingot::cuda
