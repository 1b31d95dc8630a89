#include "backend/cuda/kernels/linear_batch.h"

#include <algorithm>

#include "backend/cuda/kernels/linear_batch_heads.h"
#include "backend/cuda/kernels/linear_batch_kernel.cuh"
#include "backend/cuda/kernels/linear_tall.h"
#include "backend/cuda/kernels/linear_tensor.h"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {
namespace {

constexpr int kFewestRows = 9;  // that it is for
constexpr int kMostGroups = 4;

/// Clusters that run together.
template <DType kType, class T>
int most_clusters(const Gpu& gpu) {
  const auto kernel = linear_batch<kType, T, BatchEnd::any>;
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBatchSharedBytes));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {kBatchCluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(gpu.multiprocessors / kBatchCluster * kBatchCluster));
  config.blockDim = dim3(T::kThreads);
  config.dynamicSmemBytes = kBatchSharedBytes;
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

/// The same for heads, which are cut up in runs of pairs.
int tile_of_heads(SkinnyArguments& arguments, int clusters) {
  int best = 0;
  int64_t least = 0;
  for (int rows = kMostGroups * kGroupOutputs; rows > 0; rows -= kRunRows) {
    const int64_t busiest = divide_up(count_tiles(arguments, rows), clusters) * rows;
    if (best != 0 && busiest >= least) continue;
    best = rows;
    least = busiest;
  }
  return best;
}

/// The usual ends' kernels are for bf16.
template <DType kType, class T>
auto kernel_for(const SkinnyLinear& linear, bool has_heads) {
  if constexpr (kType == DType::bf16) {
    if (has_heads) return linear_batch<kType, T, BatchEnd::heads>;
    const BatchEnd end = end_of(linear);
    if (end == BatchEnd::gated_silu) return linear_batch<kType, T, BatchEnd::gated_silu>;
    if (end == BatchEnd::plain) return linear_batch<kType, T, BatchEnd::plain>;
  }
  return linear_batch<kType, T, BatchEnd::any>;
}

template <DType kType, class T>
void launch(const Gpu& gpu, const SkinnyArguments& skinny, int outputs, const LinearHeads& heads) {
  const SkinnyLinear& linear = skinny.linear;
  const bool gated = linear.epilogue.gated;
  const bool has_heads = heads.heads > 0;
  BatchArguments a = {};
  a.skinny = skinny;
  a.heads = heads;
  a.heights.outputs = outputs;
  a.heights.rows = gated ? 2 * outputs : outputs;
  a.heights.stage_bytes = a.heights.rows * kBatchDepth * 2 + T::kInputBytes;
  if (has_heads) {
    // Of the last run in half a group, the second values lie behind a gap.
    if (outputs % kGroupOutputs != 0) a.heights.stage_bytes += kRunPairs * kBatchDepth * 2;
    while ((kRunPairs << a.runs_log2) < heads.pairs) ++a.runs_log2;
  }
  a.heights.stages = std::min(T::kRingBytes / a.heights.stage_bytes, kMostStages);
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
                      .box_rows = has_heads ? kRunPairs
                                  : gated   ? kHalfOutputs
                                            : outputs});
  };
  for (int i = 0; i < linear.part_count; ++i) {
    const SkinnyPart& part = linear.parts[i];
    if (part.outputs > 0) a.weights[i] = map_weight(part.weight, part.outputs);
  }
  if (gated) a.weights[1] = map_weight(linear.parts[0].up, linear.parts[0].outputs);
  const auto kernel = kernel_for<kType, T>(linear, has_heads);
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBatchSharedBytes));
  static const int clusters = most_clusters<kType, T>(gpu);  // a matter of the device
  launch_overlapped<BatchArguments>(
      gpu, kernel,
      {.blocks = static_cast<unsigned>(std::min(tiles, clusters) * kBatchCluster),
       .threads = T::kThreads,
       .shared_bytes = kBatchSharedBytes,
       .cluster = kBatchCluster},
      a);
}

/// Of the tallest tiles.
int clusters_of(const Gpu& gpu) {
  static const int clusters = most_clusters<DType::bf16, BatchTile<kMostGroups, kMostBatchRows>>(gpu);
  return clusters;
}

template <DType kType, int kColumns>
void run_columns(const Gpu& gpu, const SkinnyArguments& skinny, int outputs, const LinearHeads& heads) {
  const int rows = skinny.linear.epilogue.gated ? 2 * outputs : outputs;
  switch (divide_up(rows, kGroupOutputs)) {
    case 1:
      return launch<kType, BatchTile<1, kColumns>>(gpu, skinny, outputs, heads);
    case 2:
      return launch<kType, BatchTile<2, kColumns>>(gpu, skinny, outputs, heads);
    case 3:
      return launch<kType, BatchTile<3, kColumns>>(gpu, skinny, outputs, heads);
    default:
      return launch<kType, BatchTile<4, kColumns>>(gpu, skinny, outputs, heads);
  }
}

template <DType kType>
void run(const Gpu& gpu, const SkinnyArguments& skinny, int outputs, const LinearHeads& heads) {
  with_columns(skinny.linear.rows,
               [&](auto columns) { run_columns<kType, columns.value>(gpu, skinny, outputs, heads); });
}

/// Whether tall tiles are the rule: where they fill more than a third of what a multiprocessor can hold.
bool is_tall(const Gpu& gpu, const SkinnyLinear& linear) {
  return tall_tile(gpu, linear) > kMostTallOutputs / 3;
}

bool has_linear_batch(const SkinnyLinear& linear) {
  return linear.rows >= kFewestRows && linear.in > 0 && has_linear_tensor();
}

}  // namespace

std::vector<int> batch_tiles(const Gpu& gpu, const SkinnyLinear& linear) {
  SkinnyArguments arguments{.linear = linear};
  if (!has_linear_batch(linear) || count_tiles(arguments, 1) == 0) return {};
  const int short_tile = tile_outputs(arguments, clusters_of(gpu));
  std::vector<int> tiles;
  if (tall_tile(gpu, linear) > 0) tiles.push_back(kTallTile);
  tiles.insert(is_tall(gpu, linear) ? tiles.end() : tiles.begin(), short_tile);
  const int step = kHalfOutputs;
  for (int tile = step; tile <= kMostGroups * (linear.epilogue.gated ? kHalfOutputs : kGroupOutputs);
       tile += step) {
    if (tile != short_tile) tiles.push_back(tile);
  }
  return tiles;
}

bool run_linear_batch(const Gpu& gpu, const SkinnyArguments& arguments, int tile) {
  const SkinnyLinear& linear = arguments.linear;
  if (!has_linear_batch(linear)) return false;
  SkinnyArguments all = arguments;
  if (count_tiles(all, 1) == 0) return true;
  if (tile == kTallTile || (tile == 0 && is_tall(gpu, linear))) {
    run_linear_tall(gpu, arguments);
    return true;
  }
  const int outputs = tile > 0 ? tile : tile_outputs(all, clusters_of(gpu));
  for (int64_t first = 0; first < linear.rows; first += kMostBatchRows) {
    SkinnyArguments some = some_rows(all, first, kMostBatchRows);
    some.is_read_once = linear.rows <= kMostBatchRows;
    if (linear.dtype == DType::bf16) {
      run<DType::bf16>(gpu, some, outputs, {});
    } else {
      run<DType::f16>(gpu, some, outputs, {});
    }
  }
  return true;
}

bool places_heads_of_batch(const SkinnyLinear& linear, const LinearHeads& heads) {
  return has_linear_batch(linear) && linear.rows <= kMostBatchRows && linear.dtype == DType::bf16 &&
         end_of(linear) == BatchEnd::plain && linear.part_count == 3 && heads.heads > 0 &&
         heads.q_norm.data == nullptr && has_usual_heads(heads) && heads.pairs >= kRunPairs;
}

std::vector<int> batch_head_tiles(const Gpu& gpu, const SkinnyLinear& linear) {
  SkinnyArguments arguments{.linear = linear};
  std::vector<int> tiles{tile_of_heads(arguments, clusters_of(gpu))};
  for (int tile = kRunRows; tile <= kMostGroups * kGroupOutputs; tile += kRunRows) {
    if (tile != tiles.front()) tiles.push_back(tile);
  }
  return tiles;
}

void run_linear_batch_heads(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads, int tile) {
  const SkinnyArguments arguments{.linear = linear, .pitch = prepared_pitch(linear.in)};
  run<DType::bf16>(gpu, arguments, tile, heads);
}

}  // namespace ingot::cuda
