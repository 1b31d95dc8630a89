#include "backend/cuda/kernels/block_row.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/block_row.cuh"

namespace ingot::cuda {
namespace {

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

template <class Blocks, int kRing>
bool fits(const Gpu& gpu, int64_t in) {
  constexpr int kOwnBytes = 4 << 10;  // what the kernel has beside, and CUDA takes
  return BlockRowShape<Blocks, kRing>::bytes(in) + kOwnBytes <= gpu.shared_bytes_per_block;
}
/// Calls f<kRing>() with the ring that leaves room for a row of so many values, if there is one. Rows of q4_k
/// take most; the longest of models (28,672) fit beside a shorter ring only.
template <class Blocks, class F>
bool with_ring_for(const Gpu& gpu, int64_t in, const F& f) {
  constexpr int kRing = ring_of_block_row<Blocks>();
  if (fits<Blocks, kRing>(gpu, in)) {
    f.template operator()<kRing>();
    return true;
  }
  if constexpr (Blocks::kNeedsSums) {
    if (fits<Blocks, kRing - 1>(gpu, in)) {
      f.template operator()<kRing - 1>();
      return true;
    }
  }
  return false;
}

template <class Blocks, int kRing>
void launch(const Gpu& gpu, const BlockRowArguments& arguments, int tiles) {
  const auto kernel = arguments.heads.heads > 0 ? multiply_block_row<Blocks, true, kRing>
                                                : multiply_block_row<Blocks, false, kRing>;
  const int bytes = BlockRowShape<Blocks, kRing>::bytes(arguments.skinny.linear.in);
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const auto blocks = static_cast<unsigned>(std::min(tiles, gpu.multiprocessors));
  launch_overlapped<BlockRowArguments>(
      gpu, kernel, {.blocks = blocks, .threads = kBlockRowThreads, .shared_bytes = bytes}, arguments);
}

template <class Blocks>
void run(const Gpu& gpu, BlockRowArguments& arguments) {
  const SkinnyLinear& linear = arguments.skinny.linear;
  const int tiles = count_tiles(arguments.skinny, kWarpRows);
  if (tiles == 0) return;
  arguments.row_bytes = static_cast<int>(row_bytes_of<Blocks>(linear.in));
  arguments.chunks = BlockRow<Blocks>::chunks(linear.in);
  for (int i = 0; i < linear.part_count; ++i)
    arguments.slice_bits[i] = std::countr_zero(
        static_cast<unsigned>(slices_of(divide_up(linear.parts[i].outputs, kWarpRows), arguments.chunks)));
  with_ring_for<Blocks>(gpu, linear.in, [&]<int kRing>() { launch<Blocks, kRing>(gpu, arguments, tiles); });
}

}  // namespace

bool has_block_row(const Gpu& gpu, DType dtype, int64_t in) {
  if (!has_block_product(dtype) || in == 0) return false;
  return with_blocks_of(dtype, [&]<class Blocks>() {
    return row_bytes_of<Blocks>(in) % 16 == 0 && with_ring_for<Blocks>(gpu, in, [&]<int kRing>() {});
  });
}

bool places_heads_of_block_row(const LinearHeads& heads) {
  return heads.heads > 0 && heads.q_norm.data == nullptr && rotates_whole_heads(heads) &&
         heads.head_dim % kWarpRows == 0;
}

void run_block_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                   const LinearHeads& heads) {
  BlockRowArguments arguments{.skinny = {.linear = linear}, .row = row, .heads = heads};
  with_blocks_of(linear.dtype, [&]<class Blocks>() { run<Blocks>(gpu, arguments); });
}

}  // namespace ingot::cuda
