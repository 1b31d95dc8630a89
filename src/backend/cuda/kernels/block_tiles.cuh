// A warp's product of 16 weight rows with columns of 8 activations each, one chunk of the rows at a time:
// blocks as stored, in shared memory, become operands of int8 matrix instructions; the exact sums of each
// group are scaled and added up in f32, group after group, so that the order is that of the values.
//
// Lane l has rows l / 4 and l / 4 + 8, and their part l % 4 (int8_mma.cuh).
#pragma once

#include <cuda_fp16.h>

#include "backend/cuda/kernels/block_stage.cuh"
#include "backend/cuda/kernels/block_unpack.cuh"
#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/int8_mma.cuh"
#include "dtype/formats.h"

namespace ingot::cuda {

/// Columns of a matrix instruction.
inline constexpr int kTileColumns = 8;

/// A chunk of the activations of kTiles x 8 rows (columns of the product), as one lane reads it.
template <int kTiles>
struct ChunkColumns {
  const unsigned* values[kTiles];  // the lane's part of its column; group g begins at word 8 g
  const float2* scales[kTiles];    // of the two columns of its results: group g at g * group_step
  const float* sums[kTiles];       // of its column: group `part`, and part + 4 at 8 * group_step
  int group_step;                  // float2 between groups
};

/// A weight row's piece in shared memory: it begins at byte `rest`, 0 … 3, of `words`.
struct RowPiece {
  const unsigned* words;
  int rest;

  __device__ unsigned word(int byte) const { return word_at(words, rest + byte); }
  __device__ unsigned char byte(int at) const {
    return reinterpret_cast<const unsigned char*>(words)[rest + at];
  }
  /// Two bytes at an even place.
  __device__ unsigned short two_bytes(int at) const {
    return reinterpret_cast<const unsigned short*>(words)[(rest + at) >> 1];
  }
  __device__ float half(int at) const { return __half2float(__ushort_as_half(two_bytes(at))); }
};
/// The two rows of a lane.
struct RowPieces {
  RowPiece row;
  RowPiece row_8;
};

/// sums += scale x the integer sums. `row_scales`: of the lane's two weight rows. kPairs: results of both of
/// the lane's columns are wanted, else only of the first.
template <bool kPairs>
__device__ inline void add_scaled(int4 dots, float2 row_scales, float2 column_scales, float (&sums)[4]) {
  sums[0] = __fmaf_rn(static_cast<float>(dots.x), __fmul_rn(row_scales.x, column_scales.x), sums[0]);
  sums[2] = __fmaf_rn(static_cast<float>(dots.z), __fmul_rn(row_scales.y, column_scales.x), sums[2]);
  if constexpr (!kPairs) return;
  sums[1] = __fmaf_rn(static_cast<float>(dots.y), __fmul_rn(row_scales.x, column_scales.y), sums[1]);
  sums[3] = __fmaf_rn(static_cast<float>(dots.w), __fmul_rn(row_scales.y, column_scales.y), sums[3]);
}
/// The same where the integers have the row's part of the scale already.
template <bool kPairs>
__device__ inline void add_scaled(int4 dots, float2 column_scales, float (&sums)[4]) {
  sums[0] = __fmaf_rn(static_cast<float>(dots.x), column_scales.x, sums[0]);
  sums[2] = __fmaf_rn(static_cast<float>(dots.z), column_scales.x, sums[2]);
  if constexpr (!kPairs) return;
  sums[1] = __fmaf_rn(static_cast<float>(dots.y), column_scales.y, sums[1]);
  sums[3] = __fmaf_rn(static_cast<float>(dots.w), column_scales.y, sums[3]);
}

/// sums += a chunk's own: chunks are added up as wholes, whoever multiplies them.
template <bool kPairs, int kTiles>
__device__ inline void add_chunk(const float (&chunk)[kTiles][4], float (&sums)[kTiles][4]) {
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; i += kPairs ? 1 : 2) sums[n][i] = __fadd_rn(sums[n][i], chunk[n][i]);
  }
}

// ---- Blocks of 32: a scale a group ----

struct Q8_0Codes {
  using Block = dtype::Q8_0;
  static constexpr int kChunkGroups = 4;
  static __device__ float scale(const RowPiece& row, int block) { return row.half(block); }
  static __device__ Halves unpack(const RowPiece& part, int block) {
    return {part.word(block + 2), part.word(block + 18)};
  }
  static __device__ uint2 in_order(unsigned b0, unsigned b1) { return {b0, b1}; }
  static __device__ int4 bias(uint2 /*b*/) { return {}; }
  static __device__ int4 multiply(const Rows32& rows, uint2 b, int4 bias) {
    return multiply_s8(rows, b.x, b.y, bias);
  }
};

struct Q4_0Codes {
  using Block = dtype::Q4_0;
  static constexpr int kChunkGroups = 8;
  static __device__ float scale(const RowPiece& row, int block) { return kQ4_0Unit * row.half(block); }
  static __device__ Halves unpack(const RowPiece& part, int block) {
    return unpack_q4_0(part.word(block + 2));
  }
  static __device__ uint2 in_order(unsigned b0, unsigned b1) { return {b0, b1}; }
  static __device__ int4 bias(uint2 /*b*/) { return {}; }
  static __device__ int4 multiply(const Rows32& rows, uint2 b, int4 bias) {
    return multiply_s8(rows, b.x, b.y, bias);
  }
};

struct Mxfp4Codes {
  using Block = dtype::Mxfp4;
  static constexpr int kChunkGroups = 8;
  static __device__ float scale(const RowPiece& row, int block) {
    // dtype::mxfp4_half_scale() without a choice: 2^(e - 127), which is subnormal for 0, halved.
    return 0.5F * __uint_as_float(max(row.byte(block) << 23, 0x00400000));
  }
  static __device__ Halves unpack(const RowPiece& part, int block) {
    const Mxfp4Bytes bytes = unpack_mxfp4(part.word(block + 1), in_register<kMxfp4Magnitudes>());
    return {bytes.first, bytes.second};
  }
  /// Columns in the order of unpack().
  static __device__ uint2 in_order(unsigned b0, unsigned b1) {
    const Mxfp4Bytes b = in_order_of_mxfp4(b0, b1);
    return {b.first, b.second};
  }
  /// The bias times the columns' sums goes first: a product with bytes that are all -12.
  static __device__ int4 bias(uint2 b) {
    constexpr unsigned kMinus = 0x01010101U * (256 - kMxfp4Bias);
    return multiply_s8({{kMinus, kMinus, kMinus, kMinus}}, b.x, b.y, {});
  }
  static __device__ int4 multiply(const Rows32& rows, uint2 b, int4 bias) {
    return multiply_u8(rows, b.x, b.y, bias);
  }
};

/// What the kernel needs of a format: the shape of its chunks; the bytes of a group that a lane takes at a
/// time (4: bytes 4 part … and 16 + 4 part …; 8: bytes 8 part …: the order of a group's values is free, if
/// both operands have the same); and add(): sums += a chunk's products, for the lane's two rows. `groups`:
/// of the chunk.
template <class Codes>
struct BlocksOf32 {
  using Block = typename Codes::Block;
  static constexpr int kChunkGroups = Codes::kChunkGroups;
  static constexpr int kChunkBytes = kChunkGroups * static_cast<int>(sizeof(Block));
  static constexpr int kPartBytes = 4;
  static constexpr bool kNeedsSums = false;

  template <bool kPairs, int kTiles>
  static __device__ void add(const RowPieces& of, int groups, const ChunkColumns<kTiles>& x,
                             float (&sums)[kTiles][4]) {
    constexpr int kBytes = static_cast<int>(sizeof(Block));
    constexpr int kOwn = kChunkGroups / 4;  // each of a row's four lanes looks after so many scales of it
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    const RowPiece own_part = {of.row.words + part, of.row.rest};
    const RowPiece own_part_8 = {of.row_8.words + part, of.row_8.rest};
    float chunk[kTiles][4] = {};
    float2 own[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int block = part * kOwn + i;
      own[i] = {Codes::scale(of.row, block * kBytes), Codes::scale(of.row_8, block * kBytes)};
      if (block >= groups) own[i] = {0, 0};
    }
#pragma unroll
    for (int group = 0; group < kChunkGroups; ++group) {
      const int owner = (lane & ~3) | (group / kOwn);
      const float2 scales = {__shfl_sync(0xffffffffU, own[group % kOwn].x, owner),
                             __shfl_sync(0xffffffffU, own[group % kOwn].y, owner)};
      const Halves a = Codes::unpack(own_part, group * kBytes);
      const Halves a_8 = Codes::unpack(own_part_8, group * kBytes);
      const Rows32 rows = {{a.low, a_8.low, a.high, a_8.high}};
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        const uint2 b = Codes::in_order(x.values[n][8 * group], x.values[n][8 * group + 4]);
        const int4 dots = Codes::multiply(rows, b, Codes::bias(b));
        add_scaled<kPairs>(dots, scales, x.scales[n][group * x.group_step], chunk[n]);
      }
    }
    add_chunk<kPairs>(chunk, sums);
  }
};

// ---- Blocks of 256: groups with integer scales ----

/// The integer scales are multiplied in as integers, and the block's two floats once a block. The minimums'
/// products with the activations' sums are a small matrix product of their own, 8 groups deep; tf32 has
/// enough bits for the minimums, and the sums are split into two halves that it has enough bits for.
struct BlocksOfQ4_K {
  using Block = dtype::Q4_K;
  static constexpr int kChunkGroups = 8;
  static constexpr int kChunkBytes = sizeof(Block);
  static constexpr int kPartBytes = 8;
  static constexpr bool kNeedsSums = true;

  struct Head {
    float scale;
    float min;
    Q4_KScales groups;
  };
  static __device__ Head read_head(const RowPiece& row) {
    const uint4 head = *reinterpret_cast<const uint4*>(row.words);
    const auto half = [](unsigned bits) {
      return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    };
    return {half(head.x & 0xffffU), half(head.x >> 16), unpack_q4_k_scales(head.y, head.z, head.w)};
  }
  static __device__ int byte_of(unsigned word, int i) {
    return static_cast<int>(pick_bytes(word, 0, 0x4440 + static_cast<unsigned>(i)));
  }
  static __device__ float upper_half(float value) {
    return __uint_as_float(__float_as_uint(value) & 0xffffe000U);  // 11 significant bits
  }

  template <bool kPairs, int kTiles>
  static __device__ void add(const RowPieces& of, int /*groups*/, const ChunkColumns<kTiles>& x,
                             float (&sums)[kTiles][4]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    const Head head = read_head(of.row);
    const Head head_8 = read_head(of.row_8);
    const uint2* codes = reinterpret_cast<const uint2*>(of.row.words + 4) + part;
    const uint2* codes_8 = reinterpret_cast<const uint2*>(of.row_8.words + 4) + part;
    float block[kTiles][4] = {};
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
      const uint2 both = codes[4 * pair];
      const uint2 both_8 = codes_8[4 * pair];
      const Halves first = unpack_q4_k(both.x);
      const Halves first_8 = unpack_q4_k(both_8.x);
      const Halves second = unpack_q4_k(both.y);
      const Halves second_8 = unpack_q4_k(both_8.y);
      const Rows32 rows[2] = {{{first.low, first_8.low, second.low, second_8.low}},
                              {{first.high, first_8.high, second.high, second_8.high}}};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int group = 2 * pair + i;
        const int scale = byte_of(head.groups.scales[group / 4], group % 4);
        const int scale_8 = byte_of(head_8.groups.scales[group / 4], group % 4);
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          const uint2 b = *reinterpret_cast<const uint2*>(x.values[n] + 8 * group);
          int4 dots = multiply_s8(rows[i], b.x, b.y, {});
          dots = {dots.x * scale, dots.y * scale, dots.z * scale_8, dots.w * scale_8};
          add_scaled<kPairs>(dots, x.scales[n][group * x.group_step], block[n]);
        }
      }
    }
    const Rows8 mins = {{static_cast<float>(byte_of(head.groups.mins[0], part)),
                         static_cast<float>(byte_of(head_8.groups.mins[0], part)),
                         static_cast<float>(byte_of(head.groups.mins[1], part)),
                         static_cast<float>(byte_of(head_8.groups.mins[1], part))}};
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      const float b0 = x.sums[n][0];
      const float b1 = x.sums[n][8 * x.group_step];
      const float b0_upper = upper_half(b0);
      const float b1_upper = upper_half(b1);
      float4 shift = multiply_tf32(mins, upper_half(b0 - b0_upper), upper_half(b1 - b1_upper), {});
      shift = multiply_tf32(mins, b0_upper, b1_upper, shift);
      block[n][0] = __fmaf_rn(head.scale, block[n][0], __fmul_rn(-head.min, shift.x));
      block[n][1] = __fmaf_rn(head.scale, block[n][1], __fmul_rn(-head.min, shift.y));
      block[n][2] = __fmaf_rn(head_8.scale, block[n][2], __fmul_rn(-head_8.min, shift.z));
      block[n][3] = __fmaf_rn(head_8.scale, block[n][3], __fmul_rn(-head_8.min, shift.w));
    }
    add_chunk<kPairs>(block, sums);
  }
};

struct BlocksOfQ6_K {
  using Block = dtype::Q6_K;
  static constexpr int kChunkGroups = 8;
  static constexpr int kChunkBytes = sizeof(Block);
  static constexpr int kPartBytes = 4;
  static constexpr bool kNeedsSums = false;

  /// The codes of one row that the lane needs for half a block: words `part` and part + 4 of each 32 bytes.
  struct Codes {
    unsigned low[4];
    unsigned high[2];
  };
  static __device__ Codes read_codes(const RowPiece& row, int half, int part) {
    const RowPiece own = {row.words + part, row.rest};
    const int low = 64 * half;
    const int high = 128 + 32 * half;
    return {{own.word(low), own.word(low + 16), own.word(low + 32), own.word(low + 48)},
            {own.word(high), own.word(high + 16)}};
  }
  /// The scales of the two groups of 16 of a group of 32.
  static __device__ int2 read_scales(const RowPiece& row, int group) {
    const int both = static_cast<short>(row.two_bytes(192 + 2 * group));
    return {static_cast<signed char>(both & 0xff), both >> 8};
  }

  template <bool kPairs, int kTiles>
  static __device__ void add(const RowPieces& of, int /*groups*/, const ChunkColumns<kTiles>& x,
                             float (&sums)[kTiles][4]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    float block[kTiles][4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Codes codes = read_codes(of.row, half, part);
      const Codes codes_8 = read_codes(of.row_8, half, part);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int group = 4 * half + i;
        const int2 scales = read_scales(of.row, group);
        const int2 scales_8 = read_scales(of.row_8, group);
        const unsigned a0 = unpack_q6_k(codes.low[i % 2 * 2], codes.high[0], i);
        const unsigned a1 = unpack_q6_k(codes_8.low[i % 2 * 2], codes_8.high[0], i);
        const unsigned a2 = unpack_q6_k(codes.low[i % 2 * 2 + 1], codes.high[1], i);
        const unsigned a3 = unpack_q6_k(codes_8.low[i % 2 * 2 + 1], codes_8.high[1], i);
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          const int4 first = multiply_s8_16(a0, a1, x.values[n][8 * group]);
          const int4 second = multiply_s8_16(a2, a3, x.values[n][8 * group + 4]);
          const int4 dots = {
              first.x * scales.x + second.x * scales.y, first.y * scales.x + second.y * scales.y,
              first.z * scales_8.x + second.z * scales_8.y, first.w * scales_8.x + second.w * scales_8.y};
          add_scaled<kPairs>(dots, x.scales[n][group * x.group_step], block[n]);
        }
      }
    }
    const float scale = kQ6_KUnit * of.row.half(208);
    const float scale_8 = kQ6_KUnit * of.row_8.half(208);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      block[n][0] = __fmul_rn(scale, block[n][0]);
      block[n][1] = __fmul_rn(scale, block[n][1]);
      block[n][2] = __fmul_rn(scale_8, block[n][2]);
      block[n][3] = __fmul_rn(scale_8, block[n][3]);
    }
    add_chunk<kPairs>(block, sums);
  }
};

}  // namespace ingot::cuda
