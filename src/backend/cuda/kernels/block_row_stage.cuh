// Weights of a block of threads on their way to a row, and that row, in shared memory.
//
// A stage has pieces of 16 weight rows, as long as the block's warps need for a chunk each; where a row has
// fewer chunks, it has several items of 16 rows. The copy engine brings it, a row's piece in one copy, since
// threads that asked for as much themselves would be held up until memory takes it, and the row with them.
#pragma once

#include <bit>

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/block_layout.cuh"
#include "backend/cuda/kernels/block_one_row.cuh"
#include "backend/cuda/kernels/bulk_copies.cuh"

namespace ingot::cuda {

/// How rows of weights are cut into stages.
struct RowStages {
  int chunks = 0;         // of a row
  int piece_chunks = 0;   // of a piece: a multiple of what makes 16 bytes, at most one for each warp
  int pieces = 0;         // of a row
  int units = 0;          // items of a stage; 1 where a row has several pieces
  int pitch = 0;          // bytes between rows of a stage
  int ring = 0;           // stages in shared memory
  int early = 0;          // stages that are asked for before the row is there
  int partial_items = 0;  // items whose chunks' sums have a place: a power of two
  __host__ __device__ int stage_bytes() const { return units * kWarpRows * pitch; }
};

/// Stages that so many items have.
__host__ __device__ inline int stages_of_items(const RowStages& s, int items) {
  return s.pieces == 1 ? (items + s.units - 1) / s.units : items * s.pieces;
}

/// Stages of rows that are whole multiples of 16 bytes; ring and early are left open.
template <class Blocks>
RowStages stages_of_rows(int64_t in) {
  constexpr auto common = [](auto self, int a, int b) -> int { return b == 0 ? a : self(self, b, a % b); };
  constexpr int kTogether = 16 / common(common, Blocks::kChunkBytes, 16);  // chunks that are a multiple of 16
  static_assert(kTogether <= kRowWarps);
  RowStages s;
  s.chunks = static_cast<int>(divide_up(in, int64_t{Blocks::kChunkGroups} * kGroup));
  s.pieces = static_cast<int>(divide_up(s.chunks, kRowWarps));
  s.piece_chunks = static_cast<int>(round_up(divide_up(s.chunks, s.pieces), kTogether));
  s.units = s.pieces == 1 ? kRowWarps / s.piece_chunks : 1;
  // An odd multiple of 16: what neighbouring rows' lanes read at once lies in banks of its own.
  s.pitch = (s.piece_chunks * Blocks::kChunkBytes / 16 | 1) * 16;
  // Those of two batches of four stages, and one that waits for its pair.
  s.partial_items = s.pieces == 1  ? static_cast<int>(std::bit_ceil(static_cast<unsigned>(8 * s.units + 1)))
                    : s.pieces < 4 ? 8
                                   : 4;
  return s;
}

/// Whether an item's chunks' sums are added up at once.
__host__ __device__ inline bool is_short(int chunks) {
  return chunks == 16 || chunks == 8 || chunks == 4;
}
/// Floats between the rows of an item's chunks' sums, such that rows lie in banks of their own.
__host__ __device__ inline int partial_pitch(const RowStages& s) {
  return is_short(s.chunks) ? (s.chunks < 8 ? 8 : s.chunks) + 4 : s.chunks | 1;
}
__host__ __device__ inline int partial_bytes(const RowStages& s) {
  return (s.partial_items * kWarpRows * partial_pitch(s) * 4 + 15) / 16 * 16;
}

/// The row in shared memory, in slots of a chunk: a warp has one for each piece, which it prepares and
/// multiplies itself. Integers, then room for two floats for each group's scale, and as much for its sum if
/// the format needs it (OneRowBlocks::put()), then zeros.
template <class Blocks>
struct BlockRow {
  using Shape = StageShape<Blocks>;
  static constexpr int kValueBytes = OneRowBlocks<Blocks>::kValueCopies * Shape::kValues;
  static constexpr int kZeroBytes = OneRowBlocks<Blocks>::kZeroBytes;
  int8_t* values;
  float2* scales;
  float2* sums;
  int8_t* zeros;

  static int bytes(const RowStages& s) {
    return kRowWarps * s.pieces *
               (kValueBytes +
                Shape::kGroups * (Blocks::kNeedsSums ? 2 : 1) * static_cast<int>(sizeof(float2))) +
           kZeroBytes;
  }
  __device__ BlockRow(unsigned char* memory, const RowStages& s)
      : values(reinterpret_cast<int8_t*>(memory)),
        scales(reinterpret_cast<float2*>(memory + kRowWarps * s.pieces * kValueBytes)),
        sums(scales + kRowWarps * s.pieces * Shape::kGroups),
        zeros(reinterpret_cast<int8_t*>(sums +
                                        (Blocks::kNeedsSums ? kRowWarps * s.pieces * Shape::kGroups : 0))) {}

  __device__ OneRowChunk of(int slot) const {
    return {values + slot * kValueBytes, scales + slot * Shape::kGroups, sums + slot * Shape::kGroups, zeros};
  }
};

}  // namespace ingot::cuda
