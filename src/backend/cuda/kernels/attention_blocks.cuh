// Tiles of queries and blocks of keys and values in shared memory, as attention on tensor cores reads them.
//
// Rows consist of 16-byte parts. The depth of a product may be numbered at will, as long as both sides agree:
// a lane reads four neighbours at once and takes them for the depths t and t + 4 of two products. For the
// values it is the columns that are renumbered. Parts are swizzled so that the lanes that read together meet
// different banks.
#pragma once

#include "backend/cuda/kernels/async_copies.cuh"
#include "backend/cuda/kernels/attention_rows.cuh"

namespace ingot::cuda {

constexpr int kTileThreads = 128;
constexpr int kTileWarps = kTileThreads / kWarp;
/// Keys of a block, which lie at multiples of it from the sequence's start.
constexpr int kBlockKeys = 32;

/// kTiles_: of 16 queries that a warp has.
template <int kHeadDim_, int kTiles_>
struct TileShape {
  static constexpr int kHeadDim = kHeadDim_;
  static constexpr int kTiles = kTiles_;
  static constexpr int kWarpQueries = 16 * kTiles;
  static constexpr int kQueries = kTileWarps * kWarpQueries;
  static constexpr int kParts = kHeadDim / 4;                // of 16 bytes in a row
  static constexpr int kStride = (kHeadDim + 31) / 32 * 32;  // floats from a row to the next in shared memory
  static constexpr int kColumns = kHeadDim % 32 == 0 ? 4 : 2;  // neighbours of a value that a lane reads
  /// Queries are read once where registers have room for them.
  static constexpr bool kHoldsQueries = kTiles == 1 && kHeadDim <= 128;
  static constexpr size_t kSharedBytes = (kQueries + 2 * kBlockKeys) * kStride * sizeof(float);
  static constexpr int kBlocks = kSharedBytes > 110 * 1024 ? 1 : 2;  // of a multiprocessor
  static_assert(kHeadDim % 16 == 0);
};

/// Where a part of a row lies, in floats. Lanes that read queries or keys together have rows of both
/// parities.
template <typename S>
__device__ int key_place(int row, int part) {
  return row * S::kStride + ((part ^ ((row & 1) << 2)) << 2);
}
/// Lanes that read values together have the rows 2t, or 2t + 1, for t < 4.
template <typename S>
__device__ int value_place(int row, int part) {
  return row * S::kStride + ((part ^ (((row >> 1) & 3) << 1)) << 2);
}

/// Begins to copy a block of keys or values; what lies outside of the tile's view becomes zero.
template <typename S, bool kIsValues>
__device__ void begin_block(const PagedAttention& a, const int32_t* pages, int kv_head, int first, int begin,
                            int end, float* shared) {
  const float* cache = kIsValues ? a.values : a.keys;
  const auto copy = [&](int i, auto&& offset_of) {
    const int item = i * kTileThreads + static_cast<int>(threadIdx.x);
    const int row = item / S::kParts;
    const int part = item % S::kParts;
    const int key = first + row;
    const int place = kIsValues ? value_place<S>(row, part) : key_place<S>(row, part);
    copy_async<16>(shared + place, cache + offset_of(row) + part * 4, begin <= key && key < end);
  };
  constexpr int kCopies = kBlockKeys * S::kParts / kTileThreads;
  if (a.page_tokens % kBlockKeys == 0) {
    const int64_t page = cache_offset(a, pages, kv_head, first);
#pragma unroll
    for (int i = 0; i < kCopies; ++i) copy(i, [&](int row) { return page + row * S::kHeadDim; });
  } else {
#pragma unroll 1
    for (int i = 0; i < kCopies; ++i) {
      copy(i,
           [&](int row) { return cache_offset(a, pages, kv_head, max(begin, min(first + row, end - 1))); });
    }
  }
}

}  // namespace ingot::cuda
