// What a team of warps brings into shared memory at a time: a chunk of its weight rows, as stored, and the
// same chunk of the activations.
//
// Rows of blocks begin at any even byte (mxfp4: at any), copies at multiples of 16: a row's piece is copied
// from the multiple at or before it, and lies as far into its place in the stage as it does there. At the end
// of a weight this reads the bytes up to the next multiple of 16.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Weight rows of a warp: those of a matrix instruction.
inline constexpr int kWarpRows = 16;

/// How a product is cut up, and where things lie in a stage. Bytes unless said.
struct BlockLayout {
  int64_t row_bytes = 0;
  int chunks = 0;         // of a row
  int slices = 0;         // of a row's sum: chunks that are added up one after the other
  int team_slices = 1;    // that one team goes through
  int teams = 0;          // of a block of threads
  int team_warps = 1;     // that share a stage, each with weight rows of its own
  int column_blocks = 0;  // of the activations' rows, each by blocks of threads of its own
  int columns = 0;        // of each but the last
  int column_stride = 0;  // floats between groups of scales: columns, made even
  int values_at = 0;      // in a stage, behind the weights
  int scales_at = 0;      // [group, column], f32
  int sums_at = 0;        // likewise, where the format needs them
  int stage_bytes = 0;
};

/// Sizes that follow from a format (BlocksOf32 and the others in block_tiles.cuh).
template <class Blocks>
struct StageShape {
  static constexpr int kGroups = Blocks::kChunkGroups;
  static constexpr int kValues = kGroups * 32;
  static constexpr int kBlock = static_cast<int>(sizeof(typename Blocks::Block));
  /// The most a row's piece begins behind a multiple of 16.
  static constexpr int kShift = kBlock % 16 == 0 ? 0 : 16 - static_cast<int>(alignof(typename Blocks::Block));
  /// Copies of 16 bytes that bring a row's piece.
  static constexpr int kCopies = (Blocks::kChunkBytes + kShift + 15) / 16;
  /// Between rows: an odd number of 16 bytes, so that the same word of 8 rows lies in different banks.
  static constexpr int kRowBytes = (kCopies | 1) * 16;
  static constexpr int kColumnBytes = kValues + 16;
};

/// A thread's part of the copies, of a team of `threads`.
template <class Blocks>
class Stage {
 public:
  using Shape = StageShape<Blocks>;

  __device__ Stage(const BlockProduct& product, const BlockLayout& layout, int64_t first_row,
                   int64_t first_column, int columns, int thread, int threads)
      : product_(product),
        layout_(layout),
        first_byte_(first_row * layout.row_bytes),
        first_column_(first_column),
        columns_(columns),
        thread_(thread),
        threads_(threads) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int copy = thread + i * threads;
      const int row = copy / Shape::kCopies;
      const int at = copy % Shape::kCopies * 16;
      const bool is_there = row < layout.team_warps * kWarpRows && first_row + row < product.out;
      from_[i] = row * static_cast<int>(layout.row_bytes) + at;
      to_[i] = row * Shape::kRowBytes + at;
      left_[i] = is_there ? Blocks::kChunkBytes - at : kNothing;
    }
  }

  /// Groups of 32 values of a chunk.
  __device__ int groups(int chunk) const {
    return min(Shape::kGroups, static_cast<int>(product_.in / 32) - chunk * Shape::kGroups);
  }
  /// Where a row of the team (of its weights, counted from 0) begins in the stage of a chunk.
  __device__ int row_at(int chunk, int row) const {
    const int at = row * Shape::kRowBytes;
    if constexpr (Shape::kShift == 0) return at;
    return at + ((low_bits(chunk) + row * static_cast<int>(layout_.row_bytes)) & 15);
  }

  __device__ void begin(int chunk, unsigned char* stage) const {
    const int of_chunk = groups(chunk);
    const int missing = (Shape::kGroups - of_chunk) * Blocks::kChunkBytes / Shape::kGroups;
    const int64_t byte = first_byte_ + static_cast<int64_t>(chunk) * Blocks::kChunkBytes;
    const int low = static_cast<int>(byte) & 15;
    const char* weight = static_cast<const char*>(product_.weight) + (byte - low);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int from = Shape::kShift == 0 ? from_[i] : low + from_[i];
      if (left_[i] - missing + (from & 15) > 0) begin_copy_of_16(stage + to_[i], weight + (from & ~15));
    }
    begin_columns(chunk, of_chunk, stage);
  }

 private:
  static constexpr int kOwn = (kWarpRows * Shape::kCopies + kWarp - 1) / kWarp;
  static constexpr int kNothing = -(1 << 20);

  __device__ int low_bits(int chunk) const {
    return (static_cast<int>(first_byte_) + chunk * Blocks::kChunkBytes) & 15;
  }

  __device__ void begin_columns(int chunk, int of_chunk, unsigned char* stage) const {
    constexpr int kCopies = Shape::kValues / 16;
    const int8_t* values = product_.x.values + first_column_ * product_.in + chunk * Shape::kValues;
    for (int copy = thread_; copy < columns_ * kCopies; copy += threads_) {
      const int column = copy / kCopies;
      const int at = copy % kCopies * 16;
      if (at < of_chunk * 32)
        begin_copy_of_16(stage + layout_.values_at + column * Shape::kColumnBytes + at,
                         values + column * product_.in + at);
    }
    const int64_t row_groups = product_.in / 32;
    const int64_t first = first_column_ * row_groups + chunk * Shape::kGroups;
    for (int copy = thread_; copy < columns_ * Shape::kGroups; copy += threads_) {
      const int column = copy / Shape::kGroups;
      const int group = copy % Shape::kGroups;
      if (group >= of_chunk) continue;
      const int64_t from = first + column * row_groups + group;
      const int to = group * layout_.column_stride + column;
      begin_copy_of_float(reinterpret_cast<float*>(stage + layout_.scales_at) + to, product_.x.scales + from);
      if constexpr (Blocks::kNeedsSums)
        begin_copy_of_float(reinterpret_cast<float*>(stage + layout_.sums_at) + to, product_.x.sums + from);
    }
  }

  const BlockProduct& product_;
  const BlockLayout& layout_;
  const int64_t first_byte_;    // of the team's rows, in the weight
  const int64_t first_column_;  // of the activations' rows
  const int columns_;
  const int thread_;
  const int threads_;
  int from_[kOwn];  // in the weight, from the team's first row
  int to_[kOwn];    // in the stage
  int left_[kOwn];  // bytes from there to the end of the row's piece
};

}  // namespace ingot::cuda
