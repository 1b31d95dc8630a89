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

/// A format with no better way yet (q6_k), by its columns. kOwner: which of the four lanes of a row has its
/// sums.
template <class Blocks>
struct OneRowBlocks {
  static constexpr int kOwner = 0;

  /// A group's scale and sum as the products read them.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    scales[group] = {scale, 0};
    if constexpr (Blocks::kNeedsSums) sums[group] = {sum, 0};
  }
  static __device__ void add(const RowPieces& of, int groups, const OneRowChunk& x, float (&sums)[2]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    ChunkColumns<1> columns;
    columns.values[0] = reinterpret_cast<const unsigned*>(x.values + part * Blocks::kPartBytes);
    columns.scales[0] = x.scales;
    columns.sums[0] = reinterpret_cast<const float*>(x.sums + part);
    columns.group_step = 1;
    float four[1][4] = {{sums[0], 0, sums[1], 0}};
    Blocks::template add<false>(of, groups, columns, four);
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

  static __device__ void put(float2* scales, float2* /*sums*/, int group, float scale, float /*sum*/) {
    reinterpret_cast<float*>(scales + group / kGroups * kGroups)[group % kGroups] = scale;
  }
  static __device__ void add(const RowPieces& of, int groups, const OneRowChunk& x, float (&sums)[2]) {
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
      factors[i][0] = first < groups ? __fmul_rn(Codes::scale(row, first * kBytes), scales.x) : 0;
      factors[i][1] = first + 1 < groups ? __fmul_rn(Codes::scale(row, (first + 1) * kBytes), scales.y) : 0;
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

template <>
struct OneRowBlocks<BlocksOfQ4_K> {
  using Blocks = BlocksOfQ4_K;
  static constexpr int kOwner = 3;

  /// Of odd groups the codes stay in the upper halves of their bytes, times 16; a power of two changes no
  /// bits. Sums are split into the halves that tf32 has enough bits for.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    float* const of_chunk = reinterpret_cast<float*>(scales + group / 8 * 8);
    of_chunk[group % 8] = group % 2 == 0 ? scale : scale * (1.0F / 16);
    const float upper = Blocks::upper_half(sum);
    sums[group] = {upper, Blocks::upper_half(sum - upper)};
  }
  /// The scales of this lane's two groups.
  static __device__ int2 own_scales(const uint4& head, int part) {
    const unsigned first = head.y & 0x3f3f3f3fU;
    const unsigned second = (head.w & 0x0f0f0f0fU) | ((head.y >> 2) & 0x30303030U);
    const unsigned half = part < 2 ? first : second;
    const unsigned both = part % 2 == 0 ? half : half >> 16;
    return {static_cast<int>(pick_bytes(both, 0, 0x4440)), static_cast<int>(pick_bytes(both, 0, 0x4441))};
  }
  /// The minimums of groups `part` and part + 4.
  static __device__ float2 own_mins(const uint4& head, unsigned part) {
    const unsigned first = head.z & 0x3f3f3f3fU;
    const unsigned second = ((head.w >> 4) & 0x0f0f0f0fU) | ((head.z >> 2) & 0x30303030U);
    return {static_cast<float>(static_cast<int>(pick_bytes(first, 0, 0x4440U + part))),
            static_cast<float>(static_cast<int>(pick_bytes(second, 0, 0x4440U + part)))};
  }
  static __device__ float2 scale_and_min(const uint4& head) {
    return __half22float2(*reinterpret_cast<const __half2*>(&head.x));
  }

  static __device__ void add(const RowPieces& of, int /*groups*/, const OneRowChunk& x, float (&sums)[2]) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const uint2 b = *reinterpret_cast<const uint2*>(x.values + lane / 4 * kGroup + part * 8);
    const float2 scales =
        *reinterpret_cast<const float2*>(reinterpret_cast<const float*>(x.scales) + 2 * part);
    const uint4 head = *reinterpret_cast<const uint4*>(of.row.words);
    const uint4 head_8 = *reinterpret_cast<const uint4*>(of.row_8.words);
    const uint2* codes = reinterpret_cast<const uint2*>(of.row.words + 4) + part;
    const uint2* codes_8 = reinterpret_cast<const uint2*>(of.row_8.words + 4) + part;
    int4 own = {};  // groups 2 part and 2 part + 1 of the one row, then of the other
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
      constexpr unsigned kLow = 0x0f0f0f0fU;
      constexpr unsigned kHigh = 0xf0f0f0f0U;
      const uint2 both = codes[4 * pair];
      const uint2 both_8 = codes_8[4 * pair];
      const int4 first =
          multiply_u8({{both.x & kLow, both_8.x & kLow, both.y & kLow, both_8.y & kLow}}, b.x, b.y, {});
      const int4 second =
          multiply_u8({{both.x & kHigh, both_8.x & kHigh, both.y & kHigh, both_8.y & kHigh}}, b.x, b.y, {});
      take_own(2 * pair, first, own);
      take_own(2 * pair + 1, second, own);
    }
    const int2 s = own_scales(head, part);
    const int2 s_8 = own_scales(head_8, part);
    const float dots[2][2] = {{static_cast<float>(own.x * s.x), static_cast<float>(own.y * s.y)},
                              {static_cast<float>(own.z * s_8.x), static_cast<float>(own.w * s_8.y)}};
    float block[2] = {};
#pragma unroll
    for (int turn = 0; turn < 4; ++turn) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (turn > 0) block[i] = __shfl_up_sync(0xffffffffU, block[i], 1, 4);
        block[i] = __fmaf_rn(dots[i][1], scales.y, __fmaf_rn(dots[i][0], scales.x, block[i]));
      }
    }

    const float2 mins = own_mins(head, static_cast<unsigned>(part));
    const float2 mins_8 = own_mins(head_8, static_cast<unsigned>(part));
    const Rows8 rows = {{mins.x, mins_8.x, mins.y, mins_8.y}};
    const float2 b0 = x.sums[part];
    const float2 b1 = x.sums[part + 4];
    float4 shift = multiply_tf32(rows, b0.y, b1.y, {});
    shift = multiply_tf32(rows, b0.x, b1.x, shift);
    const float2 of_block = scale_and_min(head);
    const float2 of_block_8 = scale_and_min(head_8);
    sums[0] = __fmaf_rn(of_block.x, block[0], __fmaf_rn(-of_block.y, shift.x, sums[0]));
    sums[1] = __fmaf_rn(of_block_8.x, block[1], __fmaf_rn(-of_block_8.y, shift.z, sums[1]));
  }
};

}  // namespace ingot::cuda
