// Products of a tile's 16 weight rows with one row of activations, a chunk at a time, with the bits of
// block_tiles.cuh.
//
// One row would be in all eight columns of the matrix instructions. Here a column has one group's activations
// instead: of a product with the weights of a group, the column of that group is what is wanted, and each
// group's sums are then scaled by one lane, not by four. The four lanes that have a row's sums add theirs in
// turn, so that the groups follow one another as they do elsewhere.
#pragma once

#include "backend/cuda/kernels/block_tiles.cuh"

namespace ingot::cuda {

/// The chunk of a row in shared memory, as stored by OneRowBlocks::put().
struct OneRowChunk {
  const int8_t* values;
  const float2* scales;
  const float2* sums;
};

/// Bytes of zeros in shared memory, for lanes that have nothing to multiply.
inline constexpr int kZeroBytes = 256;

/// What is added to a lane's sums of two rows for a chunk, or for a batch of kBatch chunks. kOwner: which of
/// the four lanes of a row has its sums. This one is for formats with no better way yet (q6_k), by their
/// columns.
template <class Blocks>
struct OneRowBlocks {
  static constexpr int kOwner = 0;
  static constexpr int kBatch = 1;

  /// The first of a lane's two rows of a tile; the other is the eighth after it.
  static __device__ int row_of_lane(int lane) { return lane / 4; }
  /// A group's scale and sum as the products read them.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    scales[group] = {scale, 0};
    if constexpr (Blocks::kNeedsSums) sums[group] = {sum, 0};
  }
  static __device__ void add(const RowPieces& of, const OneRowChunk& x, float (&sums)[2]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    ChunkColumns<1> columns;
    columns.values[0] = reinterpret_cast<const unsigned*>(x.values + part * Blocks::kPartBytes);
    columns.scales[0] = x.scales;
    columns.sums[0] = reinterpret_cast<const float*>(x.sums + part);
    columns.group_step = 1;
    float four[1][4] = {{sums[0], 0, sums[1], 0}};
    Blocks::template add<false>(of, Blocks::kChunkGroups, columns, four);
    sums[0] = four[0][0];
    sums[1] = four[0][2];
  }
};

/// Takes the sums that a lane scales out of a group's products, the group of one of the lane's columns.
__device__ inline void take_own(int group, const int4& products, int4& own) {
  const int part = static_cast<int>(threadIdx.x) % 4;
  if (group >= 2 && part != group / 2) return;
  if (group % 2 == 0) {
    own.x = products.x;
    own.z = products.z;
  } else {
    own.y = products.y;
    own.w = products.w;
  }
}

template <class Codes>
struct OneRowBlocks<BlocksOf32<Codes>> {
  static constexpr int kGroups = Codes::kChunkGroups;
  static constexpr int kLanes = kGroups / 2;  // of the four, that have sums to scale
  static constexpr int kOwner = kLanes - 1;
  static constexpr int kBatch = 1;

  static __device__ int row_of_lane(int lane) { return lane / 4; }
  static __device__ void put(float2* scales, float2* /*sums*/, int group, float scale, float /*sum*/) {
    reinterpret_cast<float*>(scales + group / kGroups * kGroups)[group % kGroups] = scale;
  }
  static __device__ void add(const RowPieces& of, const OneRowChunk& x, float (&sums)[2]) {
    constexpr int kBytes = static_cast<int>(sizeof(typename Codes::Block));
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const auto* column = reinterpret_cast<const unsigned*>(x.values + lane / 4 % kGroups * kGroup) + part;
    const uint2 b = Codes::in_order(column[0], column[4]);
    const int4 bias = Codes::bias(b);
    const RowPiece own_part = {of.row.words + part, of.row.rest};
    const RowPiece own_part_8 = {of.row_8.words + part, of.row_8.rest};
    int4 own = {};
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const Halves a = Codes::unpack(own_part, group * kBytes);
      const Halves a_8 = Codes::unpack(own_part_8, group * kBytes);
      take_own(group, Codes::multiply({{a.low, a_8.low, a.high, a_8.high}}, b, bias), own);
    }
    const int first = part % kLanes * 2;  // of this lane's two groups
    const float2 scales = *reinterpret_cast<const float2*>(reinterpret_cast<const float*>(x.scales) + first);
    const float dots[2][2] = {{static_cast<float>(own.x), static_cast<float>(own.y)},
                              {static_cast<float>(own.z), static_cast<float>(own.w)}};
    float factors[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const RowPiece& row = i == 0 ? of.row : of.row_8;
      factors[i][0] = __fmul_rn(Codes::scale(row, first * kBytes), scales.x);
      factors[i][1] = __fmul_rn(Codes::scale(row, (first + 1) * kBytes), scales.y);
    }
#pragma unroll
    for (int turn = 0; turn < kLanes; ++turn) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        sums[i] = turn == 0 ? __shfl_sync(0xffffffffU, sums[i], kOwner, 4)
                            : __shfl_up_sync(0xffffffffU, sums[i], 1, 4);
        sums[i] = __fmaf_rn(dots[i][1], factors[i][1], __fmaf_rn(dots[i][0], factors[i][0], sums[i]));
      }
    }
  }
};

/// Up to four chunks of a row are multiplied before their sums are scaled. Columns 2c and 2c + 1 are chunk
/// c's, so that the lane `c` of a row has all sums of that chunk and scales them, one group after the other;
/// no other lane has a part in it. A column is zero wherever it is not of the chunk and the group that the
/// instruction multiplies: its sums go on from one instruction to the next.
template <>
struct OneRowBlocks<BlocksOfQ4_K> {
  using Blocks = BlocksOfQ4_K;
  static constexpr int kOwner = 0;
  static constexpr int kBatch = 4;

  /// Pieces of 144 bytes: lanes that read 16 bytes at once have rows that are four apart, in banks of their
  /// own.
  static __device__ int row_of_lane(int lane) { return lane / 8 + lane / 4 % 2 * 4; }

  /// Of odd groups the codes stay in the upper halves of their bytes, times 16; a power of two changes no
  /// bits. Sums are split into the halves that tf32 has enough bits for.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    float* const of_chunk = reinterpret_cast<float*>(scales + group / 8 * 8);
    of_chunk[group % 8] = group % 2 == 0 ? scale : scale * (1.0F / 16);
    const float upper = Blocks::upper_half(sum);
    sums[group] = {upper, Blocks::upper_half(sum - upper)};
  }

  uint4 head[2];    // of this lane's chunk, of both rows
  int4 dots[2][2];  // groups 4 i + j and 4 i + j + 2 of both rows

  __device__ void begin() {
#pragma unroll
    for (int i = 0; i < 2; ++i) dots[i][0] = dots[i][1] = {};
  }
  /// Chunk number `c` of the batch. `row`: its piece of the lane's first row; `values`: the chunk's.
  __device__ void multiply(int c, const unsigned char* row, const int8_t* values, const uint4* zeros) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const unsigned char* const row_8 = row + kWarpRows / 2 * Blocks::kChunkBytes;
    if (part == c) {
      head[0] = *reinterpret_cast<const uint4*>(row);
      head[1] = *reinterpret_cast<const uint4*>(row_8);
    }
    // Lanes have 16 bytes of codes: parts 0 and 1 of groups 4 i and 4 i + 1, the others of the next two.
    const int column = lane / 4;
    const bool is_own = column / 2 == c && column % 2 == part / 2;
    const auto* const b =
        is_own ? reinterpret_cast<const uint4*>(values + column % 2 * 64 + part % 2 * 16) : zeros;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 both = *reinterpret_cast<const uint4*>(row + 16 + part * 16 + i * 64);
      const uint4 both_8 = *reinterpret_cast<const uint4*>(row_8 + 16 + part * 16 + i * 64);
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const unsigned mask = j == 0 ? 0x0f0f0f0fU : 0xf0f0f0f0U;
        const uint4 x = b[i * 8 + j * 2];
        dots[i][j] = multiply_u8({{both.x & mask, both_8.x & mask, both.y & mask, both_8.y & mask}}, x.x, x.y,
                                 dots[i][j]);
        dots[i][j] = multiply_u8({{both.z & mask, both_8.z & mask, both.w & mask, both_8.w & mask}}, x.z, x.w,
                                 dots[i][j]);
      }
    }
  }
  /// Adds the batch's `count` chunks of the row, one after the other. `x`: the first; the next lies kGroups
  /// scales on. All four lanes of a row have its sums.
  __device__ void add(int count, const OneRowChunk& x, float (&sums)[2]) const {
    const int part = static_cast<int>(threadIdx.x) % 4;
    const auto* const scales =
        reinterpret_cast<const float4*>(x.scales + min(part, count - 1) * Blocks::kChunkGroups);
    const float4 first = scales[0];
    const float4 second = scales[1];
    const float of_group[8] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
    float block[2] = {};
    Q4_KScales words[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      words[i] = unpack_q4_k_scales(head[i].y, head[i].z, head[i].w);
#pragma unroll
      for (int group = 0; group < 8; ++group) {
        const int4& own = dots[group / 4][group % 2];
        const int dot = i == 0 ? (group % 4 < 2 ? own.x : own.y) : (group % 4 < 2 ? own.z : own.w);
        const int scale = Blocks::byte_of(words[i].scales[group / 4], group % 4);
        block[i] = __fmaf_rn(static_cast<float>(dot * scale), of_group[group], block[i]);
      }
    }

    // The minimums' products, chunk by chunk by all lanes.
    float shift[2] = {};
#pragma unroll
    for (int c = 0; c < kBatch; ++c) {
      if (c >= count) break;
      const auto min_of = [&](int i, int half) {
        const unsigned word = __shfl_sync(0xffffffffU, words[i].mins[half], c, 4);
        return static_cast<float>(
            static_cast<int>(pick_bytes(word, 0, 0x4440U + static_cast<unsigned>(part))));
      };
      const Rows8 rows = {{min_of(0, 0), min_of(1, 0), min_of(0, 1), min_of(1, 1)}};
      const float2 b0 = x.sums[c * Blocks::kChunkGroups + part];
      const float2 b1 = x.sums[c * Blocks::kChunkGroups + part + 4];
      float4 products = multiply_tf32(rows, b0.y, b1.y, {});
      products = multiply_tf32(rows, b0.x, b1.x, products);
      if (part == c) {
        shift[0] = products.x;
        shift[1] = products.z;
      }
    }
    const float2 of_block[2] = {__half22float2(*reinterpret_cast<const __half2*>(&head[0].x)),
                                __half22float2(*reinterpret_cast<const __half2*>(&head[1].x))};
#pragma unroll
    for (int c = 0; c < kBatch; ++c) {
      if (c >= count) break;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float sum = __fmaf_rn(of_block[i].x, block[i], __fmaf_rn(-of_block[i].y, shift[i], sums[i]));
        sums[i] = __shfl_sync(0xffffffffU, sum, c, 4);
      }
    }
  }
};

}  // namespace ingot::cuda
