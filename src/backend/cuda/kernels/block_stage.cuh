// What a team of warps brings into shared memory at a time: a chunk of its weight rows, as stored, and the
// same chunk of the activations.
//
// Rows of blocks begin at any even byte (mxfp4: at any), copies at multiples of 16: a row's piece is copied
// from the multiple at or before it, and lies as far into its place in the stage as it does there. At the end
// of a weight this reads the bytes up to the next multiple of 16.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_layout.cuh"

namespace ingot::cuda {

/// A thread's part of the copies, of a team of `threads`. kAlignment: what the weight's row_bytes are known
/// to be a multiple of, 1, 4 or 16.
template <class Blocks, int kAlignment>
class Stage {
 public:
  using Shape = StageShape<Blocks>;

  /// `first_row`: of the part's weight; `first_column`: of the activations' rows.
  __device__ Stage(const BlockParts& products, const BlockParts::Part& part, const BlockLayout& layout,
                   int64_t first_row, int64_t first_column, int columns, int thread, int threads)
      : layout_(layout),
        columns_(columns),
        thread_(thread),
        threads_(threads),
        in_(static_cast<int>(products.in)),
        weight_(keep(static_cast<const char*>(part.weight) + first_row * layout.row_bytes)),
        low_(static_cast<int>(first_row * layout.row_bytes) & 15),
        values_(products.x.values + first_column * products.in),
        scales_(products.x.scales + first_column * (products.in / kGroup)),
        sums_(products.x.sums + first_column * (products.in / kGroup)) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int copy = thread + i * threads;
      const int row = copy / Shape::kCopies;
      const int at = copy % Shape::kCopies * 16;
      const bool is_there = row < layout.team_warps * kWarpRows && first_row + row < part.out;
      from_[i] = row * static_cast<int>(layout.row_bytes) + at;
      to_[i] = row * Shape::kRowBytes + at;
      left_[i] = is_there ? Blocks::kChunkBytes - at : kNothing;
    }
  }

  /// Groups of a chunk.
  __device__ int groups(int chunk) const {
    return min(Shape::kGroups, in_ / kGroup - chunk * Shape::kGroups);
  }
  /// Where a row of the team (of its weights, counted from 0) begins in the stage of a chunk.
  __device__ int row_at(int chunk, int row) const {
    const int low = low_bits(chunk);
    const int row_bytes = kAlignment == 16 ? 0 : static_cast<int>(layout_.row_bytes);
    return row * Shape::kRowBytes + ((low + row * row_bytes) & 15);
  }

  __device__ void begin_weights(int chunk, unsigned char* stage) const {
    const int missing = (Shape::kGroups - groups(chunk)) * Blocks::kChunkBytes / Shape::kGroups;
    const int low = low_bits(chunk);
    const char* weight = weight_ + (int64_t{chunk} * Blocks::kChunkBytes - low);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int from = kAlignment == 16 ? from_[i] : (low + from_[i]) & ~15;
      const int shift = kAlignment == 16 ? low : (low + from_[i]) & 15;
      if (left_[i] > missing - shift) begin_copy_of_16(stage + to_[i], weight + from);
    }
  }

  /// Groups that the chunk lacks, at the end of rows, get scales of 0.
  __device__ void begin_columns(int chunk, unsigned char* stage) const {
    constexpr int kCopies = Shape::kValues / 16;  // of a column
    const int of_chunk = groups(chunk);
    const int part = thread_ % kCopies * 16;
    if (part < of_chunk * kGroup) {
#pragma unroll 1
      for (int column = thread_ / kCopies; column < columns_; column += threads_ / kCopies)
        begin_copy_of_16(stage + column * Shape::kColumnBytes + part,
                         values_ + column * in_ + chunk * Shape::kValues + part);
    }
    const int group = thread_ % Shape::kGroups;
    const bool is_there = group < of_chunk;
    const int of_row = is_there ? chunk * Shape::kGroups + group : 0;
    auto* const scales = reinterpret_cast<float*>(stage + layout_.scales_at) + group * layout_.column_stride;
    auto* const sums = reinterpret_cast<float*>(stage + layout_.sums_at) + group * layout_.column_stride;
#pragma unroll 1
    for (int column = thread_ / Shape::kGroups; column < columns_; column += threads_ / Shape::kGroups) {
      const int from = column * (in_ / kGroup) + of_row;
      begin_copy_of_float(scales + column, scales_ + from, is_there);
      if constexpr (Blocks::kNeedsSums) begin_copy_of_float(sums + column, sums_ + from, is_there);
    }
  }

 private:
  static constexpr int kOwn = (kWarpRows * Shape::kCopies + kWarp - 1) / kWarp;
  static constexpr int kNothing = -(1 << 20);

  /// How far behind a multiple of 16 a chunk of the team's first row begins.
  __device__ int low_bits(int chunk) const {
    if constexpr (Shape::kShift == 0) return 0;
    return ((kAlignment == 16 ? 0 : low_) + chunk * Blocks::kChunkBytes) & 15;
  }

  const BlockLayout& layout_;
  const int columns_;
  const int thread_;
  const int threads_;
  const int in_;
  const char* const weight_;  // the team's first row
  const int low_;             // how far behind a multiple of 16 that is
  // Of the activations, from the first column on.
  const int8_t* const values_;
  const float* const scales_;
  const float* const sums_;
  int from_[kOwn];  // in the weight, from the team's first row
  int to_[kOwn];    // in the stage
  int left_[kOwn];  // bytes from there to the end of the row's piece
};

}  // namespace ingot::cuda
