#include "backend/cuda/kernels/linear_tall.h"

#include <algorithm>
#include <cstdlib>

#include "backend/cuda/kernels/linear_tall_kernel.cuh"
#include "backend/cuda/kernels/linear_tensor.h"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {
namespace {

/// Of two matrices' beginnings, in bytes.
int64_t distance_of(const SkinnyPart& part) {
  return std::abs(static_cast<const char*>(part.up) - static_cast<const char*>(part.weight));
}

template <int kColumns>
void launch(const Gpu& gpu, const SkinnyArguments& skinny, int outputs) {
  using T = TallTile<kColumns>;
  const SkinnyLinear& linear = skinny.linear;
  const SkinnyPart& part = linear.parts[0];
  TallArguments a = {};
  a.skinny = skinny;
  a.heights.outputs = outputs;
  a.heights.rows = 2 * outputs;
  a.heights.stage_bytes = a.heights.weight_bytes() + T::kInputBytes;
  a.heights.stages = std::min(T::kRingBytes / a.heights.stage_bytes, kMostStages);
  a.x = map_boxes({.data = linear.x,
                   .dtype = DType::bf16,
                   .rows = linear.rows,
                   .width = linear.in,
                   .stride = skinny.pitch,
                   .box_rows = kColumns});
  a.is_up_first = part.up < part.weight;
  a.weights = map_pair_boxes({.lower = a.is_up_first ? part.up : part.weight,
                              .distance = distance_of(part),
                              .rows = part.outputs,
                              .width = linear.in,
                              .box_rows = outputs});
  const auto kernel = linear_tall<T>;
  static_cast<void>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBatchSharedBytes));
  const int64_t groups = divide_up(a.heights.rows, kGroupOutputs);
  launch_overlapped<TallArguments>(gpu, kernel,
                                   {.blocks = static_cast<unsigned>(divide_up(part.outputs, outputs)),
                                    .threads = static_cast<unsigned>((groups + 1) * kGroupThreads),
                                    .shared_bytes = kBatchSharedBytes},
                                   a);
}

}  // namespace

int tall_tile(const Gpu& gpu, const SkinnyLinear& linear) {
  const SkinnyPart& part = linear.parts[0];
  constexpr int64_t kMostDistance = int64_t{1} << 40;  // of a map's
  if (linear.dtype != DType::bf16 || linear.part_count != 1 || end_of(linear) != LinearEnd::gated_silu ||
      linear.rows > kMostBatchRows || linear.in == 0 || part.outputs == 0 || part.outputs % kPieceRows != 0 ||
      distance_of(part) == 0 || distance_of(part) >= kMostDistance || !has_linear_tensor())
    return 0;
  const int64_t outputs = round_up(divide_up(part.outputs, gpu.multiprocessors), kPieceRows);
  return outputs <= kMostTallOutputs ? static_cast<int>(outputs) : 0;
}

void run_linear_tall(const Gpu& gpu, const SkinnyArguments& arguments) {
  const int outputs = tall_tile(gpu, arguments.linear);
  with_columns(arguments.linear.rows, [&](auto columns) { launch<columns.value>(gpu, arguments, outputs); });
}

}  // namespace ingot::cuda
