// A warp's product of 16 weight rows with columns of 8 activations each, one chunk of the rows at a time:
// blocks as stored, in shared memory, become operands of int8 matrix instructions; the exact sums of each
// group are scaled and added up in f32, group after group, so that the order is that of the values.
//
// Lane l has rows l / 4 and l / 4 + 8, and their part l % 4 (int8_mma.cuh).
#pragma once

#include <cuda_fp16.h>

#include "backend/cuda/kernels/block_unpack.cuh"
#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/int8_mma.cuh"
#include "dtype/formats.h"

namespace ingot::cuda {

/// Values that share a scale of the activations.
inline constexpr int kGroup = 32;
/// Columns of a matrix instruction.
inline constexpr int kColumns = 8;

/// A chunk of the activations of kTiles x 8 rows (columns of the product), as one lane reads it.
template <int kTiles>
struct ChunkColumns {
  const unsigned* values[kTiles];  // the lane's part of its column: words 8 g and 8 g + 4 of group g
  const float2* scales[kTiles];    // of the two columns of its results: group g at g * group_step
  const float* sums[kTiles];       // of its column: group `part`, and part + 4 at 8 * group_step
  int group_step;                  // float2 between groups
};

__device__ inline float half_at(const unsigned* words, int byte) {
  return __half2float(__ushort_as_half(reinterpret_cast<const unsigned short*>(words)[byte >> 1]));
}

/// sums += scale x the integer sums. `row_scales`: of the lane's two weight rows.
__device__ inline void add_scaled(int4 dots, float2 row_scales, float2 column_scales, float (&sums)[4]) {
  sums[0] = __fmaf_rn(static_cast<float>(dots.x), __fmul_rn(row_scales.x, column_scales.x), sums[0]);
  sums[1] = __fmaf_rn(static_cast<float>(dots.y), __fmul_rn(row_scales.x, column_scales.y), sums[1]);
  sums[2] = __fmaf_rn(static_cast<float>(dots.z), __fmul_rn(row_scales.y, column_scales.x), sums[2]);
  sums[3] = __fmaf_rn(static_cast<float>(dots.w), __fmul_rn(row_scales.y, column_scales.y), sums[3]);
}
/// The same where the integers have the row's part of the scale already.
__device__ inline void add_scaled(int4 dots, float2 column_scales, float (&sums)[4]) {
  sums[0] = __fmaf_rn(static_cast<float>(dots.x), column_scales.x, sums[0]);
  sums[1] = __fmaf_rn(static_cast<float>(dots.y), column_scales.y, sums[1]);
  sums[2] = __fmaf_rn(static_cast<float>(dots.z), column_scales.x, sums[2]);
  sums[3] = __fmaf_rn(static_cast<float>(dots.w), column_scales.y, sums[3]);
}

// ---- Blocks of 32: a scale a group ----

struct Q8_0Codes {
  using Block = dtype::Q8_0;
  static constexpr int kChunkGroups = 4;
  static __device__ float scale(const unsigned* words, int byte) { return half_at(words, byte); }
  static __device__ Halves unpack(const unsigned* words, int byte, int part) {
    return {word_at(words, byte + 2 + 4 * part), word_at(words, byte + 18 + 4 * part)};
  }
  static __device__ int4 dots(const Rows32& rows, unsigned b0, unsigned b1) {
    return multiply_s8(rows, b0, b1, {});
  }
};

struct Q4_0Codes {
  using Block = dtype::Q4_0;
  static constexpr int kChunkGroups = 8;
  static __device__ float scale(const unsigned* words, int byte) { return kQ4_0Unit * half_at(words, byte); }
  static __device__ Halves unpack(const unsigned* words, int byte, int part) {
    return unpack_q4_0(word_at(words, byte + 2 + 4 * part));
  }
  static __device__ int4 dots(const Rows32& rows, unsigned b0, unsigned b1) {
    return multiply_s8(rows, b0, b1, {});
  }
};

struct Mxfp4Codes {
  using Block = dtype::Mxfp4;
  static constexpr int kChunkGroups = 8;
  static __device__ float scale(const unsigned* words, int byte) {
    return dtype::mxfp4_half_scale(reinterpret_cast<const unsigned char*>(words)[byte]);
  }
  static __device__ Halves unpack(const unsigned* words, int byte, int part) {
    return unpack_mxfp4(word_at(words, byte + 1 + 4 * part));
  }
  /// The bias times the columns' sums goes first: a product with bytes that are all -12.
  static __device__ int4 dots(const Rows32& rows, unsigned b0, unsigned b1) {
    constexpr unsigned kMinus = 0x01010101U * (256 - kMxfp4Bias);
    return multiply_u8(rows, b0, b1, multiply_s8({{kMinus, kMinus, kMinus, kMinus}}, b0, b1, {}));
  }
};

/// What the kernel needs of a format: the shape of its chunks, and add(): sums += a chunk's products, for the
/// lane's two rows, which begin at bytes `row` and `row_8` of the stage. `groups`: of the chunk; all of them
/// if kWhole.
template <class Codes>
struct BlocksOf32 {
  using Block = typename Codes::Block;
  static constexpr int kChunkGroups = Codes::kChunkGroups;
  static constexpr int kChunkBytes = kChunkGroups * static_cast<int>(sizeof(Block));
  static constexpr bool kNeedsSums = false;

  template <bool kWhole, int kTiles>
  static __device__ void add(const unsigned* stage, int row, int row_8, int groups,
                             const ChunkColumns<kTiles>& x, float (&sums)[kTiles][4]) {
    constexpr int kBytes = static_cast<int>(sizeof(Block));
    constexpr int kOwn = kChunkGroups / 4;  // each of a row's four lanes looks after so many scales of it
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int part = lane % 4;
    float2 own[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int block = (part * kOwn + i) * kBytes;
      own[i] = {Codes::scale(stage, row + block), Codes::scale(stage, row_8 + block)};
    }
#pragma unroll
    for (int group = 0; group < kChunkGroups; ++group) {
      if (!kWhole && group >= groups) break;
      const int owner = (lane & ~3) | (group / kOwn);
      const float2 scales = {__shfl_sync(0xffffffffU, own[group % kOwn].x, owner),
                             __shfl_sync(0xffffffffU, own[group % kOwn].y, owner)};
      const Halves a = Codes::unpack(stage, row + group * kBytes, part);
      const Halves a_8 = Codes::unpack(stage, row_8 + group * kBytes, part);
      const Rows32 rows = {{a.low, a_8.low, a.high, a_8.high}};
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        const int4 dots = Codes::dots(rows, x.values[n][8 * group], x.values[n][8 * group + 4]);
        add_scaled(dots, scales, x.scales[n][group * x.group_step], sums[n]);
      }
    }
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
  static constexpr bool kNeedsSums = true;

  struct Row {
    float scale;
    float min;
    Q4_KScales of;
  };
  static __device__ Row read_row(const unsigned* stage, int row) {
    const uint4 head = *reinterpret_cast<const uint4*>(stage + row / 4);
    const auto half = [](unsigned bits) {
      return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
    };
    return {half(head.x & 0xffffU), half(head.x >> 16), unpack_q4_k_scales(head.y, head.z, head.w)};
  }
  static __device__ int byte_of(unsigned word, int i) { return static_cast<int>(word >> (8 * i) & 0xff); }
  static __device__ float upper_half(float value) {
    return __uint_as_float(__float_as_uint(value) & 0xffffe000U);  // 11 significant bits
  }

  template <bool kWhole, int kTiles>
  static __device__ void add(const unsigned* stage, int row, int row_8, int /*groups*/,
                             const ChunkColumns<kTiles>& x, float (&sums)[kTiles][4]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    const Row of = read_row(stage, row);
    const Row of_8 = read_row(stage, row_8);
    const unsigned* codes = stage + row / 4 + 4 + part;
    const unsigned* codes_8 = stage + row_8 / 4 + 4 + part;
    float block[kTiles][4] = {};
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
      const Halves first = unpack_q4_k(codes[8 * pair]);
      const Halves first_8 = unpack_q4_k(codes_8[8 * pair]);
      const Halves second = unpack_q4_k(codes[8 * pair + 4]);
      const Halves second_8 = unpack_q4_k(codes_8[8 * pair + 4]);
      const Rows32 rows[2] = {{{first.low, first_8.low, second.low, second_8.low}},
                              {{first.high, first_8.high, second.high, second_8.high}}};
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int group = 2 * pair + i;
        const int scale = byte_of(of.of.scales[group / 4], group % 4);
        const int scale_8 = byte_of(of_8.of.scales[group / 4], group % 4);
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          int4 dots = multiply_s8(rows[i], x.values[n][8 * group], x.values[n][8 * group + 4], {});
          dots = {dots.x * scale, dots.y * scale, dots.z * scale_8, dots.w * scale_8};
          add_scaled(dots, x.scales[n][group * x.group_step], block[n]);
        }
      }
    }
    const Rows8 mins = {{static_cast<float>(byte_of(of.of.mins[0], part)),
                         static_cast<float>(byte_of(of_8.of.mins[0], part)),
                         static_cast<float>(byte_of(of.of.mins[1], part)),
                         static_cast<float>(byte_of(of_8.of.mins[1], part))}};
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      const float b0 = x.sums[n][0];
      const float b1 = x.sums[n][8 * x.group_step];
      const float b0_upper = upper_half(b0);
      const float b1_upper = upper_half(b1);
      float4 shift = multiply_tf32(mins, upper_half(b0 - b0_upper), upper_half(b1 - b1_upper), {});
      shift = multiply_tf32(mins, b0_upper, b1_upper, shift);
      sums[n][0] = __fmaf_rn(of.scale, block[n][0], __fmaf_rn(-of.min, shift.x, sums[n][0]));
      sums[n][1] = __fmaf_rn(of.scale, block[n][1], __fmaf_rn(-of.min, shift.y, sums[n][1]));
      sums[n][2] = __fmaf_rn(of_8.scale, block[n][2], __fmaf_rn(-of_8.min, shift.z, sums[n][2]));
      sums[n][3] = __fmaf_rn(of_8.scale, block[n][3], __fmaf_rn(-of_8.min, shift.w, sums[n][3]));
    }
  }
};

struct BlocksOfQ6_K {
  using Block = dtype::Q6_K;
  static constexpr int kChunkGroups = 8;
  static constexpr int kChunkBytes = sizeof(Block);
  static constexpr bool kNeedsSums = false;

  /// The codes of one row that the lane needs for half a block: words `part` and part + 4 of each 32 bytes.
  struct Codes {
    unsigned low[4];
    unsigned high[2];
  };
  static __device__ Codes read_codes(const unsigned* stage, int row, int half, int part) {
    const int low = row + 64 * half + 4 * part;
    const int high = row + 128 + 32 * half + 4 * part;
    return {
        {word_at(stage, low), word_at(stage, low + 16), word_at(stage, low + 32), word_at(stage, low + 48)},
        {word_at(stage, high), word_at(stage, high + 16)}};
  }
  /// The scales of the two groups of 16 of a group of 32.
  static __device__ int2 read_scales(const unsigned* stage, int row, int group) {
    const int both = reinterpret_cast<const short*>(stage)[(row + 192 + 2 * group) >> 1];
    return {static_cast<signed char>(both & 0xff), both >> 8};
  }

  template <bool kWhole, int kTiles>
  static __device__ void add(const unsigned* stage, int row, int row_8, int /*groups*/,
                             const ChunkColumns<kTiles>& x, float (&sums)[kTiles][4]) {
    const int part = static_cast<int>(threadIdx.x) % 4;
    float block[kTiles][4] = {};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Codes of = read_codes(stage, row, half, part);
      const Codes of_8 = read_codes(stage, row_8, half, part);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int group = 4 * half + i;
        const int2 scales = read_scales(stage, row, group);
        const int2 scales_8 = read_scales(stage, row_8, group);
        const unsigned a0 = unpack_q6_k(of.low[i % 2 * 2], of.high[0], i);
        const unsigned a1 = unpack_q6_k(of_8.low[i % 2 * 2], of_8.high[0], i);
        const unsigned a2 = unpack_q6_k(of.low[i % 2 * 2 + 1], of.high[1], i);
        const unsigned a3 = unpack_q6_k(of_8.low[i % 2 * 2 + 1], of_8.high[1], i);
#pragma unroll
        for (int n = 0; n < kTiles; ++n) {
          const int4 first = multiply_s8_16(a0, a1, x.values[n][8 * group]);
          const int4 second = multiply_s8_16(a2, a3, x.values[n][8 * group + 4]);
          const int4 dots = {
              first.x * scales.x + second.x * scales.y, first.y * scales.x + second.y * scales.y,
              first.z * scales_8.x + second.z * scales_8.y, first.w * scales_8.x + second.w * scales_8.y};
          add_scaled(dots, x.scales[n][group * x.group_step], block[n]);
        }
      }
    }
    const float scale = kQ6_KUnit * half_at(stage, row + 208);
    const float scale_8 = kQ6_KUnit * half_at(stage, row_8 + 208);
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
      sums[n][0] = __fmaf_rn(scale, block[n][0], sums[n][0]);
      sums[n][1] = __fmaf_rn(scale, block[n][1], sums[n][1]);
      sums[n][2] = __fmaf_rn(scale_8, block[n][2], sums[n][2]);
      sums[n][3] = __fmaf_rn(scale_8, block[n][3], sums[n][3]);
    }
  }
};

}  // namespace ingot::cuda
