// Chunks of a tile's 16 weight rows on their way to one warp, and the row that they are multiplied with.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_one_row.cuh"

namespace ingot::cuda {

/// Where a weight row's pieces lie, of weights whose rows are whole multiples of 16 bytes. All chunks are
/// full then, and a piece begins a multiple of 2 behind one of 16.
template <class Blocks>
struct RowPieceShape {
  static constexpr int common(int a, int b) { return b == 0 ? a : common(b, a % b); }
  static constexpr int kShift = 16 - common(Blocks::kChunkBytes, 16);  // the most
  /// Copies of 16 bytes that bring a row's piece.
  static constexpr int kCopies = (Blocks::kChunkBytes + kShift + 15) / 16;
  /// Between rows: an odd multiple of 16, so that the words that 8 rows' lanes read at once lie in banks of
  /// their own.
  static constexpr int kRowBytes = (kCopies | 1) * 16;
};

/// A lane's part of the copies of a chunk of a tile. Neighbouring lanes have neighbouring bytes of a row, so
/// that few sectors are asked for twice.
template <class Blocks>
class RowChunk {
 public:
  using Shape = RowPieceShape<Blocks>;
  static constexpr int kBytes = kWarpRows * Shape::kRowBytes;

  /// How far into its place in the stage each row's piece of a chunk begins.
  static __device__ int shift(int chunk) {
    if constexpr (Shape::kShift == 0) return 0;
    return chunk * Blocks::kChunkBytes & 15;
  }
  /// Of tiles of so many rows; the last stands in for those beyond it. The rows from the ninth on lie `apart`
  /// bytes further on than they would if all followed one another.
  __device__ void aim(int row_bytes, int rows, int apart) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int copy = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      const int row = copy / Shape::kCopies;
      const int at = copy % Shape::kCopies * 16;
      from_[i] =
          static_cast<unsigned>(min(row, rows - 1) * row_bytes + at + (row >= kWarpRows / 2 ? apart : 0));
      if constexpr (!kIsPacked) to_[i] = row * Shape::kRowBytes + at;
    }
  }
  /// Begins to copy a chunk. `from`: the multiple of 16 where the first row's piece is.
  __device__ void begin(const char* from, unsigned char* stage) const {
    unsigned char* const to = stage + static_cast<int>(threadIdx.x) % kWarp * 16;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const bool is_whole = (i + 1) * kWarp <= kCopiesOfChunk;
      if (is_whole || static_cast<int>(threadIdx.x) % kWarp + i * kWarp < kCopiesOfChunk)
        begin_copy_of_16(kIsPacked ? to + i * (kWarp * 16) : stage + to_[i], from + from_[i]);
    }
  }

 private:
  static constexpr int kCopiesOfChunk = kWarpRows * Shape::kCopies;
  static constexpr int kOwn = (kCopiesOfChunk + kWarp - 1) / kWarp;

  static constexpr bool kIsPacked = Shape::kRowBytes == Shape::kCopies * 16;

  unsigned from_[kOwn];
  int to_[kIsPacked ? 1 : kOwn];
};

/// The row in shared memory: integers, then room for two floats for each group's scale, and as much for its
/// sum if the format needs it (OneRowBlocks::put()).
template <class Blocks>
struct BlockRow {
  using Shape = StageShape<Blocks>;
  int8_t* values;
  float2* scales;
  float2* sums;

  __host__ __device__ static int chunks(int64_t in) {
    return static_cast<int>((in + Shape::kValues - 1) / Shape::kValues);
  }
  static int bytes(int64_t in) {
    return chunks(in) * (Shape::kValues +
                         Shape::kGroups * (Blocks::kNeedsSums ? 2 : 1) * static_cast<int>(sizeof(float2)));
  }
  __device__ BlockRow(unsigned char* memory, int64_t in)
      : values(reinterpret_cast<int8_t*>(memory)),
        scales(reinterpret_cast<float2*>(memory + chunks(in) * Shape::kValues)),
        sums(scales + chunks(in) * Shape::kGroups) {}

  __device__ OneRowChunk of(int chunk) const {
    return {values + chunk * Shape::kValues, scales + chunk * Shape::kGroups, sums + chunk * Shape::kGroups};
  }
};

}  // namespace ingot::cuda
