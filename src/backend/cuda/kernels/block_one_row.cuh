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

/// add(): the sums of a chunk, of a lane's two rows, on top of zeros; kOwner: which of the four lanes of a
/// row has them. This one is for formats with no better way yet (q6_k), by their columns.
template <class Blocks>
struct OneRowBlocks {
  static constexpr int kOwner = 0;

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

/// The groups' products as above, two of them of the same 32 bytes of codes.
template <>
struct OneRowBlocks<BlocksOfQ4_K> {
  using Blocks = BlocksOfQ4_K;
  static constexpr int kOwner = 3;

  /// Lanes that read 8 bytes at once have rows that are two apart, in banks of their own.
  static __device__ int row_of_lane(int lane) { return lane / 4 % 4 * 2 + lane / 16; }

  /// Of odd groups the codes stay in the upper halves of their bytes, times 16; a power of two changes no
  /// bits. Sums are split into the halves that tf32 has enough bits for.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    float* const of_chunk = reinterpret_cast<float*>(scales + group / 8 * 8);
    of_chunk[group % 8] = group % 2 == 0 ? scale : scale * (1.0F / 16);
    const float upper = Blocks::upper_half(sum);
    sums[group] = {upper, Blocks::upper_half(sum - upper)};
  }

  static __device__ void add(const RowPieces& of, const OneRowChunk& x, float (&sums)[2]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const auto* const codes = reinterpret_cast<const uint2*>(of.row.words + 4) + part;
    const auto* const codes_8 = reinterpret_cast<const uint2*>(of.row_8.words + 4) + part;
    const uint2 b = reinterpret_cast<const uint2*>(x.values)[lane];  // a group's in each column
    int4 own = {};
#pragma unroll 2  // more would take registers that there are not
    for (int pair = 0; pair < 4; ++pair) {
      const uint2 both = codes[4 * pair];
      const uint2 both_8 = codes_8[4 * pair];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const unsigned mask = i == 0 ? 0x0f0f0f0fU : 0xf0f0f0f0U;
        const Rows32 rows = {{both.x & mask, both_8.x & mask, both.y & mask, both_8.y & mask}};
        take_own(2 * pair + i, multiply_u8(rows, b.x, b.y, {}), own);
      }
    }
    const uint4 heads[2] = {*reinterpret_cast<const uint4*>(of.row.words),
                            *reinterpret_cast<const uint4*>(of.row_8.words)};
    const float2 b0 = x.sums[part];
    const float2 b1 = x.sums[part + 4];
    // The lane's two groups of both rows, then one lane after the other.
    const float2 of_group = reinterpret_cast<const float2*>(x.scales)[part];
    const Q4_KScales words[2] = {unpack_q4_k_scales(heads[0].y, heads[0].z, heads[0].w),
                                 unpack_q4_k_scales(heads[1].y, heads[1].z, heads[1].w)};
    float dots[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const unsigned scales = (part < 2 ? words[i].scales[0] : words[i].scales[1]) >> (part % 2 * 16);
      dots[i][0] = static_cast<float>((i == 0 ? own.x : own.z) * Blocks::byte_of(scales, 0));
      dots[i][1] = static_cast<float>((i == 0 ? own.y : own.w) * Blocks::byte_of(scales, 1));
    }
    float block[2] = {};
#pragma unroll
    for (int turn = 0; turn < 4; ++turn) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (turn > 0) block[i] = __shfl_up_sync(0xffffffffU, block[i], 1, 4);
        block[i] = __fmaf_rn(dots[i][1], of_group.y, __fmaf_rn(dots[i][0], of_group.x, block[i]));
      }
    }
    const auto min_of = [&](int i, int half) {
      return static_cast<float>(Blocks::byte_of(words[i].mins[half], part));
    };
    const Rows8 mins = {{min_of(0, 0), min_of(1, 0), min_of(0, 1), min_of(1, 1)}};
    float4 shift = multiply_tf32(mins, b0.y, b1.y, {});
    shift = multiply_tf32(mins, b0.x, b1.x, shift);
    const float2 of_block = __half22float2(*reinterpret_cast<const __half2*>(&heads[0].x));
    const float2 of_block_8 = __half22float2(*reinterpret_cast<const __half2*>(&heads[1].x));
    sums[0] = __fmaf_rn(of_block.x, block[0], __fmul_rn(-of_block.y, shift.x));
    sums[1] = __fmaf_rn(of_block_8.x, block[1], __fmul_rn(-of_block_8.y, shift.z));
  }
};

}  // namespace ingot::cuda
