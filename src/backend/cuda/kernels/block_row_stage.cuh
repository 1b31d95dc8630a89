// Chunks of a tile's 16 weight rows on their way to one warp, and the row that they are multiplied with.
#pragma once

#include "backend/cuda/kernels/block_copies.cuh"
#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_tiles.cuh"

namespace ingot::cuda {

/// A lane's part of the copies of a chunk; rows have whole multiples of 16 bytes.
template <class Blocks>
class RowChunk {
 public:
  using Shape = StageShape<Blocks>;
  static constexpr int kBytes = kWarpRows * Shape::kRowBytes;

  __device__ explicit RowChunk(int row_bytes) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int copy = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      from_[i] = copy / Shape::kCopies * row_bytes + copy % Shape::kCopies * 16;
      to_[i] = copy / Shape::kCopies * Shape::kRowBytes + copy % Shape::kCopies * 16;
    }
  }

  /// How far into its place in the stage each row's piece of a chunk begins.
  static __device__ int shift(int chunk) {
    if constexpr (Shape::kShift == 0) return 0;
    return chunk * Blocks::kChunkBytes & 15;
  }

  /// Begins to copy a chunk of `groups` groups. `tile`: the first row's first byte; the rows from the ninth
  /// on lie `apart` bytes further on than they would if all followed one another. `rows`: that there are.
  __device__ void begin(const char* tile, int64_t apart, int rows, int chunk, int groups,
                        unsigned char* stage) const {
    const int bytes = groups * (Blocks::kChunkBytes / Shape::kGroups) + shift(chunk);
    const char* from = tile + (int64_t{chunk} * Blocks::kChunkBytes - shift(chunk));
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int copy = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      const int row = copy / Shape::kCopies;
      if (row < rows && copy % Shape::kCopies * 16 < bytes)
        begin_copy_of_16(stage + to_[i], from + from_[i] + (row >= kWarpRows / 2 ? apart : 0));
    }
  }

 private:
  static constexpr int kOwn = (kWarpRows * Shape::kCopies + kWarp - 1) / kWarp;
  int from_[kOwn];
  int to_[kOwn];
};

/// The row in shared memory: integers, then a scale, and if the format needs it a sum, for each group; both
/// are followed by something that nobody uses, since products read them as pairs.
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

  /// What a lane reads of a chunk.
  __device__ ChunkColumns<1> of(int chunk) const {
    const int part = static_cast<int>(threadIdx.x) % 4;
    ChunkColumns<1> x;
    x.values[0] =
        reinterpret_cast<const unsigned*>(values + chunk * Shape::kValues + part * Blocks::kPartBytes);
    x.scales[0] = scales + chunk * Shape::kGroups;
    x.sums[0] = reinterpret_cast<const float*>(sums + chunk * Shape::kGroups + part);
    x.group_step = 1;
    return x;
  }
};

}  // namespace ingot::cuda
