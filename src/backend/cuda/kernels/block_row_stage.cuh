// Chunks of a tile's 16 weight rows on their way to one warp, and the row that they are multiplied with.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_one_row.cuh"

namespace ingot::cuda {

/// A lane's part of the copies of a chunk; rows have whole multiples of 16 bytes. Neighbouring lanes have
/// neighbouring bytes of a row, so that few sectors are asked for twice.
template <class Blocks>
class RowChunk {
 public:
  using Shape = StageShape<Blocks>;
  static constexpr int kBytes = kWarpRows * Shape::kRowBytes;

  __device__ explicit RowChunk(int row_bytes) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      from_[i] = static_cast<unsigned>(row(i) * row_bytes + at(i));
      to_[i] = row(i) * Shape::kRowBytes + at(i);
    }
  }

  /// How far into its place in the stage each row's piece of a chunk begins.
  static __device__ int shift(int chunk) {
    if constexpr (Shape::kShift == 0) return 0;
    return chunk * Blocks::kChunkBytes & 15;
  }

  /// Begins to copy a chunk of `groups` groups. `tile`: the first row's first byte; kApart: the rows from the
  /// ninth on lie `apart` bytes further on than they would if all followed one another. `rows`: that there
  /// are.
  template <bool kApart>
  __device__ void begin(const char* tile, int64_t apart, int rows, int chunk, int groups,
                        unsigned char* stage) const {
    // All of it, where a block is a chunk and begins at a multiple of 16.
    constexpr bool kIsWhole = Blocks::Block::kElements == Shape::kValues && Shape::kShift == 0;
    const int bytes = groups * Blocks::kChunkBytes / Shape::kGroups + shift(chunk);
    const char* from = tile + (int64_t{chunk} * Blocks::kChunkBytes - shift(chunk));
    const auto copy = [&](int i, bool is_there) {
      const bool is_of_row = (i + 1) * kWarp <= kWarpRows * Shape::kCopies || row(i) < kWarpRows;
      if (is_there && is_of_row && (kIsWhole || at(i) < bytes))
        begin_copy_of_16(stage + to_[i], from + from_[i] + (kApart && row(i) >= kWarpRows / 2 ? apart : 0));
    };
    if (rows >= kWarpRows) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) copy(i, true);
    } else {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) copy(i, row(i) < rows);
    }
  }

 private:
  static constexpr int kOwn = (kWarpRows * Shape::kCopies + kWarp - 1) / kWarp;

  static __device__ int row(int i) {
    return (static_cast<int>(threadIdx.x) % kWarp + i * kWarp) / Shape::kCopies;
  }
  static __device__ int at(int i) {
    return (static_cast<int>(threadIdx.x) % kWarp + i * kWarp) % Shape::kCopies * 16;
  }

  unsigned from_[kOwn];
  int to_[kOwn];
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
