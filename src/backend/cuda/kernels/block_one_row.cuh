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
  const int8_t* zeros;  // kZeroBytes
};

/// Of formats that read a row's integers in their order, chunk by chunk.
struct PlainOneRow {
  static constexpr int kValueCopies = 1;         // of a chunk's integers
  static constexpr int kZeroBytes = 0;           // that products read, beside
  static constexpr bool kKeepsOperands = false;  // where a warp has one chunk of a row

  /// The first of a lane's two rows of a tile; the other is the eighth after it.
  static __device__ int row_of_lane(int lane) { return lane / 4; }
  /// Stores eight integers, number `at` of a warp's chunks and those behind.
  static __device__ void put_values(int8_t* values, int at, uint2 eight) {
    *reinterpret_cast<uint2*>(values + at) = eight;
  }
  /// What add() takes of a chunk of the row.
  using Operands = OneRowChunk;
  static __device__ Operands operands(const OneRowChunk& x) { return x; }
};

/// add(): the sums of a chunk, of a lane's two rows, on top of zeros; kOwner: which of the four lanes of a
/// row has them. This one is for formats with no better way yet (q6_k), by their columns.
template <class Blocks>
struct OneRowBlocks : PlainOneRow {
  static constexpr int kOwner = 0;
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
struct OneRowBlocks<BlocksOf32<Codes>> : PlainOneRow {
  static constexpr int kGroups = Codes::kChunkGroups;
  static constexpr int kLanes = kGroups / 2;  // of the four, that have sums to scale
  static constexpr int kOwner = kLanes - 1;

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

/// Here a matrix product is of 8 weight rows, each of which is two rows of it: every other word of 64 bytes
/// of codes, as a lane reads them at once. Of a group's integers a column has those that belong to the one
/// row, the next column those that belong to the other; a lane's results of both are a group's.
///
/// Products of whole bytes are too much by 16 times those of their upper codes for groups in the lower
/// halves. A second product, of the upper codes with the negated integers, takes that away again; for groups
/// in the upper halves it is all there is, and the first has zeros. So half the codes need no mask, and no
/// lane has to choose among results.
template <>
struct OneRowBlocks<BlocksOfQ4_K> {
  using Blocks = BlocksOfQ4_K;
  static constexpr int kOwner = 3;
  static constexpr int kValueCopies = 2;
  static constexpr int kChunk = Blocks::Block::kElements;
  static constexpr int kZeroBytes = 2 * kChunk;

  /// As PlainOneRow. Lanes that read 16 bytes at once have rows that are four apart, in banks of their own.
  static __device__ int row_of_lane(int lane) { return lane / 8 + lane / 4 % 2 * 4; }

  /// A chunk's integers for the second product, in the order in which a lane needs them, then those for the
  /// first.
  static __device__ void put_values(int8_t* values, int at, uint2 eight) {
    const int group = at / kGroup;
    const int i = at / 8 % 4;
    auto* const place =
        reinterpret_cast<unsigned*>(values + at / kChunk * kChunk) + group * (kGroup / 4) + i / 2 * 4 + i % 2;
    const bool is_lower = group % 2 == 0;
    place[0] = is_lower ? __vneg4(eight.x) : eight.x;
    place[2] = is_lower ? __vneg4(eight.y) : eight.y;
    place[kChunk / 4] = is_lower ? eight.x : 0;
    place[kChunk / 4 + 2] = is_lower ? eight.y : 0;
  }

  /// Of odd groups the codes stay in the upper halves of their bytes, times 16; a power of two changes no
  /// bits. Sums are split into the halves that tf32 has enough bits for.
  static __device__ void put(float2* scales, float2* sums, int group, float scale, float sum) {
    const int chunk = group / 8 * 8;
    float* const of_scales = reinterpret_cast<float*>(scales + chunk) + group % 4 * 2 + group / 4 % 2;
    of_scales[0] = group % 2 == 0 ? scale : scale * (1.0F / 16);
    float* const of_sums = reinterpret_cast<float*>(sums + chunk) + group % 4 * 4 + group / 4 % 2;
    const float upper = Blocks::upper_half(sum);
    of_sums[0] = Blocks::upper_half(sum - upper);
    of_sums[2] = upper;
  }

  static constexpr bool kKeepsOperands = true;
  /// What a lane needs of a row's chunk: of its column in both halves of it, then of the groups `part` and
  /// part + 4.
  struct Operands {
    uint2 upper[2];
    uint2 both[2];
    float2 scales;
    float4 sums;
  };
  static __device__ Operands operands(const OneRowChunk& x) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const int column = lane / 4;
    const bool has_values = part / 2 == column / 4;
    const auto* const values = reinterpret_cast<const uint2*>(
        has_values ? x.values + column / 2 * kGroup + part % 2 * 16 + column % 2 * 8 : x.zeros);
    return {{values[0], values[kChunk / 16]},
            {values[kChunk / 8], values[kChunk / 8 + kChunk / 16]},
            x.scales[part],
            reinterpret_cast<const float4*>(x.sums)[part]};
  }

  static __device__ void add(const RowPieces& of, const Operands& x, float (&sums)[2]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    const uint4* const rows[2] = {reinterpret_cast<const uint4*>(of.row.words),
                                  reinterpret_cast<const uint4*>(of.row_8.words)};
    int dots[2][2];  // of both rows, of both halves
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 both = rows[i][1 + 4 * half + part];
        constexpr unsigned kUpper = 0xf0f0f0f0U;
        int4 products = multiply_u8({{both.x, both.y, both.z, both.w}}, x.both[half].x, x.both[half].y, {});
        products = multiply_u8({{both.x & kUpper, both.y & kUpper, both.z & kUpper, both.w & kUpper}},
                               x.upper[half].x, x.upper[half].y, products);
        dots[i][half] = products.x + products.w;
      }
    }
    float2 of_block[2];
    float scaled[2][2];
    float mins[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4 head = rows[i][0];
      of_block[i] = __half22float2(*reinterpret_cast<const __half2*>(&head.x));
      const Q4_KScales groups = unpack_q4_k_scales(head.y, head.z, head.w);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        scaled[i][half] = static_cast<float>(dots[i][half] * Blocks::byte_of(groups.scales[half], part));
        mins[i][half] = static_cast<float>(Blocks::byte_of(groups.mins[half], part));
      }
    }
    const Rows8 all_mins = {{mins[0][0], mins[1][0], mins[0][1], mins[1][1]}};
    float4 shift = multiply_tf32(all_mins, x.sums.x, x.sums.y, {});
    shift = multiply_tf32(all_mins, x.sums.z, x.sums.w, shift);
    // One group after the other, which one lane after the other has: first those of the first half.
    float block[2] = {};
#pragma unroll
    for (int group = 0; group < 8; ++group) {
      const int half = group / 4;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (group % 4 > 0) block[i] = __shfl_up_sync(0xffffffffU, block[i], 1, 4);
        if (group == 4) block[i] = __shfl_sync(0xffffffffU, block[i], 3, 4);
        block[i] = __fmaf_rn(scaled[i][half], half == 0 ? x.scales.x : x.scales.y, block[i]);
      }
    }
    sums[0] = __fmaf_rn(of_block[0].x, block[0], __fmul_rn(-of_block[0].y, shift.x));
    sums[1] = __fmaf_rn(of_block[1].x, block[1], __fmul_rn(-of_block[1].y, shift.z));
  }
};

}  // namespace ingot::cuda
