// How products with blocks are cut up: into slices, teams of warps and chunks, and what lies where in shared
// memory.
#pragma once

#include <algorithm>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Values that share a scale of the activations.
inline constexpr int kGroup = 32;
/// Weight rows of a warp: those of a matrix instruction.
inline constexpr int kWarpRows = 16;
/// Chunks of weights that are in shared memory or on their way.
inline constexpr int kStages = 2;
/// Of a block of threads.
inline constexpr int kMostWarps = 16;
/// Slices that are added up last, one after the other; each may be the sum of others.
inline constexpr int kLastSlices = 4;

/// Several products of the same rows, weights of one type.
struct BlockParts {
  struct Part {
    const void* weight = nullptr;  // [out, in]
    int64_t out = 0;
    float* sums = nullptr;  // [rows, stride]
    int64_t stride = 0;
    int first_tile = 0;  // a tile: the weight rows of a team
  };
  QuantisedRows x;
  int64_t rows = 0;
  int64_t in = 0;
  int count = 0;
  Part parts[kMostBlockProducts] = {};
};

/// How a product is cut up, and where things lie in shared memory.
struct BlockLayout {
  int64_t row_bytes = 0;  // of the weight
  int chunks = 0;         // of a row
  int slices = 0;         // of a row's sum: chunks that are added up one after the other
  int team_slices = 1;    // that one team goes through
  int teams = 0;          // of a block of threads
  int team_warps = 1;     // that share a stage, each with weight rows of its own
  int column_blocks = 0;  // of the activations' rows, each by blocks of threads of its own
  int columns = 0;        // of each but the last
  int column_stride = 0;  // floats between groups of scales: columns, made even
  // Bytes. A team has kStages stages of weights, then the activations' chunks, each of values, scales and, if
  // the format needs them, sums ([group, column], f32).
  int stage_bytes = 0;
  int column_bytes = 0;
  int scales_at = 0;
  int sums_at = 0;
  int team_bytes = 0;
  int column_stages = 0;      // chunks of activations
  bool columns_stay = false;  // all that the team needs are there from the start
};

/// Sizes that follow from a format (BlocksOf32 and the others in block_tiles.cuh).
template <class Blocks>
struct StageShape {
  static constexpr int kGroups = Blocks::kChunkGroups;
  static constexpr int kValues = kGroups * kGroup;
  static constexpr int kBlock = static_cast<int>(sizeof(typename Blocks::Block));
  /// The most a row's piece begins behind a multiple of 16.
  static constexpr int kShift = kBlock % 16 == 0 ? 0 : 16 - static_cast<int>(alignof(typename Blocks::Block));
  /// Copies of 16 bytes that bring a row's piece.
  static constexpr int kCopies = (Blocks::kChunkBytes + kShift + 15) / 16;
  /// Between rows, such that what a lane reads at once lies in other banks than what the other 7 rows' lanes
  /// do: for words an odd multiple of 16, for pairs of words (which half a warp reads at a time) of 32.
  static constexpr int kRowBytes =
      Blocks::kPartBytes == 4 ? (kCopies | 1) * 16 : ((kCopies + 1) / 2 | 1) * 32;
  static constexpr int kColumnBytes = kValues + 4 * Blocks::kPartBytes;
};

/// What a kernel gets.
struct BlockArguments {
  BlockParts products;
  BlockLayout layout;
};

/// Tiles of so many weight rows that the parts have.
inline int64_t tiles_of(const BlockParts& products, int rows) {
  int64_t tiles = 0;
  for (int i = 0; i < products.count; ++i) tiles += divide_up(products.parts[i].out, rows);
  return tiles;
}

/// Slices of a row's sum: enough that there are some 16 warps for each of an H200's multiprocessors. Bits
/// depend on this, so it depends on nothing else.
inline int slices_of(int64_t tiles, int chunks) {
  constexpr int64_t kEnough = 2000;
  int slices = 1;
  while (2 * slices <= chunks && slices < kMostWarps && (slices < kLastSlices || tiles * slices < kEnough))
    slices *= 2;
  return slices;
}

/// `columns`: the most. `shares`: several warps with weight rows of their own share a stage, `team_warps` of
/// them. `stay`: few activations come all at once, as long as they take less room than the weights do.
template <class Blocks>
BlockLayout layout_of(const BlockParts& products, int columns, bool shares, int team_warps, bool stay) {
  using Shape = StageShape<Blocks>;
  BlockLayout layout;
  layout.row_bytes = products.in / Blocks::Block::kElements * Shape::kBlock;
  layout.chunks = static_cast<int>(divide_up(products.in, Shape::kValues));
  layout.slices = slices_of(tiles_of(products, kWarpRows), layout.chunks);
  layout.team_slices = shares ? std::max(1, layout.slices / kLastSlices) : 1;
  layout.teams = layout.slices / layout.team_slices;
  layout.team_warps = team_warps;
  layout.column_blocks = static_cast<int>(divide_up(products.rows, columns));
  layout.columns = static_cast<int>(std::min<int64_t>(products.rows, columns));
  layout.column_stride = static_cast<int>(round_up(layout.columns, 2));
  layout.stage_bytes = team_warps * kWarpRows * Shape::kRowBytes;
  const int scales_bytes = Shape::kGroups * layout.column_stride * static_cast<int>(sizeof(float));
  layout.scales_at = layout.columns * Shape::kColumnBytes;
  layout.sums_at = layout.scales_at + scales_bytes;
  layout.column_bytes = layout.sums_at + (Blocks::kNeedsSums ? scales_bytes : 0);
  const int slice_chunks = static_cast<int>(divide_up(layout.chunks, layout.slices));
  layout.columns_stay = stay && slice_chunks * layout.column_bytes <= kStages * layout.stage_bytes;
  layout.column_stages = layout.columns_stay ? std::max(slice_chunks, 1) : kStages;
  layout.team_bytes = kStages * layout.stage_bytes + layout.column_stages * layout.column_bytes;
  return layout;
}

/// Shared memory of a block of threads: the stages, then in their place the teams' sums.
inline int shared_bytes(const BlockLayout& layout) {
  const int sums = layout.teams * layout.columns * (layout.team_warps * kWarpRows + 4);
  return std::max(layout.teams * layout.team_bytes, sums * static_cast<int>(sizeof(float)));
}

inline int64_t thread_blocks(const BlockParts& products, const BlockLayout& layout) {
  return tiles_of(products, layout.team_warps * kWarpRows) * layout.column_blocks;
}

}  // namespace ingot::cuda
