#include "backend/cuda/kernels/linear_batch.h"

#include <algorithm>

#include "backend/cuda/kernels/linear_batch_kernel.cuh"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {
namespace {

constexpr int kFewestRows = 9;  // that it is for
constexpr int kMostRows = 64;   // of a launch

/// Clusters that run together.
template <DType kType, class T>
int most_clusters(const Gpu& gpu) {
  const auto kernel = linear_batch<kType, T>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, T::kSharedBytes));
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                         cudaSharedmemCarveoutMaxShared));
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

template <DType kType, class T>
void launch(const Gpu& gpu, const SkinnyArguments& skinny) {
  const SkinnyLinear& linear = skinny.linear;
  const bool gated = linear.epilogue.gated;
  BatchArguments a = {};
  a.skinny = skinny;
  const int tiles = count_tiles(a.skinny, T::kWeights / (gated ? 2 : 1));
  a.x = map_boxes({.data = linear.x,
                   .dtype = kType,
                   .rows = linear.rows,
                   .width = linear.in,
                   .stride = skinny.pitch,
                   .box_rows = T::kColumns});
  const auto map_weight = [&](const void* weight, int64_t outputs) {
    return map_boxes({.data = weight,
                      .dtype = kType,
                      .rows = outputs,
                      .width = linear.in,
                      .stride = linear.in,
                      .box_rows = gated ? kHalfOutputs : T::kWeights});
  };
  for (int i = 0; i < linear.part_count; ++i) {
    const SkinnyPart& part = linear.parts[i];
    if (part.outputs > 0) a.weights[i] = map_weight(part.weight, part.outputs);
  }
  if (gated) a.weights[1] = map_weight(linear.parts[0].up, linear.parts[0].outputs);
  static const int clusters = most_clusters<kType, T>(gpu);  // a matter of the device
  launch_overlapped<BatchArguments>(
      gpu, linear_batch<kType, T>,
      {.blocks = static_cast<unsigned>(std::min(tiles, clusters) * kBatchCluster),
       .threads = T::kThreads,
       .shared_bytes = T::kSharedBytes,
       .cluster = kBatchCluster},
      a);
}

}  // namespace
}  // namespace ingot::cuda
