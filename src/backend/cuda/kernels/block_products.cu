// Products of weights in blocks with rows of 8-bit integers: which kernel, and in what shape.
#include "backend/cuda/kernels/block_products.h"

#include "backend/cuda/kernels/block_kernel.cuh"

namespace ingot::cuda {
namespace {

/// Numbers the tiles of the parts through: each part's follow those before it.
void number_tiles(BlockParts& products, int rows) {
  int64_t tiles = 0;
  for (int i = 0; i < products.count; ++i) {
    products.parts[i].first_tile = static_cast<int>(tiles);
    tiles += divide_up(products.parts[i].out, rows);
  }
}

template <class Blocks, int kColumns, bool kShares>
void launch(const Gpu& gpu, const BlockParts& products) {
  BlockArguments arguments{products, layout_of<Blocks>(products, kColumns, kShares, 1, !kShares)};
  BlockLayout& layout = arguments.layout;
  const auto fits = [&](const BlockLayout& of) { return shared_bytes(of) <= gpu.shared_bytes_per_block; };
  if constexpr (kShares) {
    // The more weight rows share the activations the better, as long as there is work for everyone.
    for (int warps : {2, 4}) {
      const BlockLayout wider = layout_of<Blocks>(products, kColumns, true, warps, false);
      if (wider.teams * warps > kMostWarps || !fits(wider) ||
          thread_blocks(products, wider) * 8 < int64_t{gpu.multiprocessors} * 7)
        break;
      layout = wider;
    }
  } else {
    if (!fits(layout)) layout = layout_of<Blocks>(products, kColumns, false, 1, false);
    if (!fits(layout)) return launch<Blocks, 16, true>(gpu, products);  // which has fewer stages
  }
  number_tiles(arguments.products, layout.team_warps * kWarpRows);
  // Rows of whole 16 bytes are what models have; q4_k has no others.
  constexpr bool kAlways16 = sizeof(typename Blocks::Block) % 16 == 0;
  auto kernel = multiply_blocks<Blocks, kColumns, kShares, 16>;
  if constexpr (!kAlways16) {
    if (layout.row_bytes % 16 != 0) {
      kernel = layout.row_bytes % 4 == 0 ? multiply_blocks<Blocks, kColumns, kShares, 4>
                                         : multiply_blocks<Blocks, kColumns, kShares, 1>;
    }
  }
  const int bytes = shared_bytes(layout);
  if (bytes > 48 * 1024) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  const LaunchShape shape{.blocks = static_cast<unsigned>(thread_blocks(products, layout)),
                          .threads = static_cast<unsigned>(layout.teams * layout.team_warps * kWarp),
                          .shared_bytes = bytes};
  launch_overlapped(gpu, kernel, shape, arguments);
}

template <class Blocks>
void launch_for_rows(const Gpu& gpu, const BlockParts& products) {
  if (products.rows == 1) return launch<Blocks, 1, false>(gpu, products);
  if (products.rows <= 8) return launch<Blocks, 8, false>(gpu, products);
  if (products.rows <= 16) return launch<Blocks, 16, true>(gpu, products);
  return launch<Blocks, 32, true>(gpu, products);
}

void launch_for_type(const Gpu& gpu, DType dtype, const BlockParts& products) {
  switch (dtype) {
    case DType::q8_0:
      return launch_for_rows<BlocksOf32<Q8_0Codes>>(gpu, products);
    case DType::q4_0:
      return launch_for_rows<BlocksOf32<Q4_0Codes>>(gpu, products);
    case DType::mxfp4:
      return launch_for_rows<BlocksOf32<Mxfp4Codes>>(gpu, products);
    case DType::q4_k:
      return launch_for_rows<BlocksOfQ4_K>(gpu, products);
    case DType::q6_k:
      return launch_for_rows<BlocksOfQ6_K>(gpu, products);
    default:
      return;
  }
}

}  // namespace

bool has_block_product(DType dtype) {
  return dtype == DType::q8_0 || dtype == DType::q4_0 || dtype == DType::q4_k || dtype == DType::q6_k ||
         dtype == DType::mxfp4;
}

void run_block_product(const Gpu& gpu, const BlockProduct& product) {
  run_block_products(gpu, &product, 1);
}

void run_block_products(const Gpu& gpu, const BlockProduct* products, int count) {
  bool is_done[kMostBlockProducts] = {};
  for (int first = 0; first < count; ++first) {
    BlockParts parts{.x = products[first].x, .rows = products[first].rows, .in = products[first].in};
    for (int i = first; i < count; ++i) {
      const BlockProduct& product = products[i];
      if (is_done[i] || product.dtype != products[first].dtype) continue;
      is_done[i] = true;
      if (product.out == 0) continue;
      BlockParts::Part& part = parts.parts[parts.count++];
      part.weight = product.weight;
      part.out = product.out;
      part.sums = product.sums;
      part.stride = product.stride;
    }
    if (parts.count > 0 && parts.rows > 0) launch_for_type(gpu, products[first].dtype, parts);
  }
}

}  // namespace ingot::cuda
