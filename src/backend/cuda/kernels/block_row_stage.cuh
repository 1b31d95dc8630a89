// Chunks of a tile's 16 weight rows on their way to one warp, and the row that they are multiplied with.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_one_row.cuh"

namespace ingot::cuda {

/// A lane's part of the copies of a chunk: of rows lane / 4 and lane / 4 + 8, every fourth 16 bytes. Rows
/// have whole multiples of 16 bytes.
template <class Blocks>
class RowChunk {
 public:
  using Shape = StageShape<Blocks>;
  static constexpr int kBytes = kWarpRows * Shape::kRowBytes;

  /// How far into its place in the stage each row's piece of a chunk begins.
  static __device__ int shift(int chunk) {
    if constexpr (Shape::kShift == 0) return 0;
    return chunk * Blocks::kChunkBytes & 15;
  }

  /// Where a lane's first bytes of a tile are; `tile`: the first row's first byte.
  static __device__ const char* of_lane(const char* tile, int row_bytes) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    return tile + lane / 4 * row_bytes + lane % 4 * 16;
  }
  /// Begins to copy a chunk of `groups` groups. `first`: of_lane(); row lane / 4 + 8 lies `apart` bytes
  /// further on; `rows`: that there are.
  static __device__ void begin(const char* first, int64_t apart, int rows, int chunk, int groups,
                               unsigned char* stage) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int left = groups * (Blocks::kChunkBytes / Shape::kGroups) + shift(chunk) - lane % 4 * 16;
    const char* from = first + (int64_t{chunk} * Blocks::kChunkBytes - shift(chunk));
    unsigned char* to = stage + lane / 4 * Shape::kRowBytes + lane % 4 * 16;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (lane / 4 + half * (kWarpRows / 2) >= rows) continue;
#pragma unroll
      for (int i = 0; i < (Shape::kCopies + 3) / 4; ++i) {
        if (i * 64 < left)
          begin_copy_of_16(to + half * (kWarpRows / 2) * Shape::kRowBytes + i * 64,
                           from + (half == 0 ? 0 : apart) + i * 64);
      }
    }
  }
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
