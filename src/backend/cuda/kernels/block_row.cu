#include "backend/cuda/kernels/block_row.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/block_row.cuh"

namespace ingot::cuda {
namespace {

/// Stages that are asked for before the row.
constexpr int kEarly = 1;

/// Calls f<Blocks>() for a type.
template <class F>
auto with_blocks_of(DType dtype, const F& f) {
  switch (dtype) {
    case DType::q8_0:
      return f.template operator()<BlocksOf32<Q8_0Codes>>();
    case DType::q4_0:
      return f.template operator()<BlocksOf32<Q4_0Codes>>();
    case DType::mxfp4:
      return f.template operator()<BlocksOf32<Mxfp4Codes>>();
    case DType::q4_k:
      return f.template operator()<BlocksOfQ4_K>();
    default:
      return f.template operator()<BlocksOfQ6_K>();
  }
}

template <class Blocks>
int64_t row_bytes_of(int64_t in) {
  return in / Blocks::Block::kElements * static_cast<int64_t>(sizeof(typename Blocks::Block));
}

/// How rows go through shared memory; a ring of less than two stages where they do not fit.
template <class Blocks>
RowStages stages_that_fit(const Gpu& gpu, int64_t in) {
  constexpr int kOwnBytes = 4 << 10;  // what the kernel has beside, and CUDA takes
  RowStages stages = stages_of_rows<Blocks>(in);
  const int rest =
      gpu.shared_bytes_per_block - kOwnBytes - partial_bytes(stages) - BlockRow<Blocks>::bytes(stages);
  stages.ring = std::clamp(rest / stages.stage_bytes(), 0, kMostRing);
  stages.early = std::min(kEarly, stages.ring);
  return stages;
}

template <class Blocks>
auto kernel_for(const BlockRowArguments& arguments) {
  const RowNorm norm = row_norm_of(arguments.row);
  if (arguments.heads.heads > 0)
    return norm == RowNorm::rms ? multiply_block_row<Blocks, RowNorm::rms, LinearEnd::heads>
                                : multiply_block_row<Blocks, RowNorm::any, LinearEnd::heads>;
  const LinearEnd end = end_of(arguments.skinny.linear);
  if (end == LinearEnd::plain && norm == RowNorm::none)
    return multiply_block_row<Blocks, RowNorm::none, LinearEnd::plain>;
  if (end == LinearEnd::plain && norm == RowNorm::rms)
    return multiply_block_row<Blocks, RowNorm::rms, LinearEnd::plain>;
  if (end == LinearEnd::gated_silu && norm == RowNorm::rms)
    return multiply_block_row<Blocks, RowNorm::rms, LinearEnd::gated_silu>;
  return multiply_block_row<Blocks, RowNorm::any, LinearEnd::any>;
}

template <class Blocks>
void run(const Gpu& gpu, BlockRowArguments& arguments) {
  const SkinnyLinear& linear = arguments.skinny.linear;
  const int tiles = count_tiles(arguments.skinny, kWarpRows);
  if (tiles == 0) return;
  arguments.row_bytes = static_cast<int>(row_bytes_of<Blocks>(linear.in));
  RowStages& stages = arguments.stages = stages_that_fit<Blocks>(gpu, linear.in);
  for (int i = 0; i < linear.part_count; ++i)
    arguments.slice_bits[i] = std::countr_zero(
        static_cast<unsigned>(slices_of(divide_up(linear.parts[i].outputs, kWarpRows), stages.chunks)));
  const int blocks = std::min(tiles, gpu.multiprocessors);
  arguments.block_tiles = tiles / blocks;
  arguments.longer_blocks = tiles % blocks;
  // No more shared memory than the longest run of tiles has stages: attention's blocks may need the rest.
  const int items = divide_up(tiles, blocks) * (linear.epilogue.gated ? 2 : 1);
  stages.ring = std::min(stages.ring, std::max(2, stages_of_items(stages, items)));
  const auto kernel = kernel_for<Blocks>(arguments);
  const int bytes =
      stages.ring * stages.stage_bytes() + partial_bytes(stages) + BlockRow<Blocks>::bytes(stages);
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  launch_overlapped<BlockRowArguments>(
      gpu, kernel,
      {.blocks = static_cast<unsigned>(blocks), .threads = kBlockRowThreads, .shared_bytes = bytes},
      arguments);
}

}  // namespace

bool has_block_row(const Gpu& gpu, DType dtype, int64_t in) {
  if (gpu.compute_capability < 90 || !has_block_product(dtype) || in == 0) return false;
  return with_blocks_of(dtype, [&]<class Blocks>() {
    return row_bytes_of<Blocks>(in) % 16 == 0 && stages_that_fit<Blocks>(gpu, in).ring >= 2;
  });
}

bool places_heads_of_block_row(const LinearHeads& heads) {
  return heads.heads > 0 && heads.q_norm.data == nullptr && rotates_whole_heads(heads) &&
         heads.head_dim % kWarpRows == 0;
}

void run_block_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                   const LinearHeads& heads) {
  BlockRowArguments arguments{.skinny = {.linear = linear}, .row = row, .heads = heads, .stages = {}};
  with_blocks_of(linear.dtype, [&]<class Blocks>() { run<Blocks>(gpu, arguments); });
}

}  // namespace ingot::cuda
