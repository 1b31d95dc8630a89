// Eight values of a weight at a time, as f32: what products and decoding of every storage format are made of.
// Octets lie within one block in every format, and begin at multiples of 8 values.
#pragma once

#include <cuda_fp16.h>

#include "backend/cuda/kernels/block_unpack.cuh"
#include "dtype/formats.h"

namespace ingot::cuda {

inline constexpr int kOctet = 8;

__device__ inline float float_of(float value) {
  return value;
}
__device__ inline float float_of(dtype::F16 value) {
  return __half2float(__ushort_as_half(value.bits));
}
template <class Single>
__device__ inline float float_of(Single value) {
  return dtype::decode(value);
}

/// Byte `i` of a word.
__device__ inline unsigned byte_at(unsigned word, int i) {
  return (word >> (8 * i)) & 0xff;
}

/// Eight bytes that begin anywhere; reads the words that hold them.
__device__ inline uint2 eight_bytes(const void* base, int64_t byte) {
  const auto* words = static_cast<const unsigned*>(base);
  const unsigned first = words[byte >> 2];
  const unsigned second = words[(byte >> 2) + 1];
  const unsigned third = words[(byte + 7) >> 2];
  const auto shift = static_cast<unsigned>(byte & 3) * 8;
  return {__funnelshift_r(first, second, shift), __funnelshift_r(second, third, shift)};
}

/// Single values. read(): octet number `octet`, which begins at a multiple of its size; at(): any one value.
template <class T>
struct OctetsOf {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    struct alignas(sizeof(T) == 1 ? 8 : 16) Piece {
      T values[sizeof(T) == 4 ? 4 : 8];
    };
    constexpr int kEach = sizeof(T) == 4 ? 4 : 8;
    const auto* pieces = static_cast<const Piece*>(weight) + octet * (kOctet / kEach);
#pragma unroll
    for (int p = 0; p < kOctet / kEach; ++p) {
      const Piece piece = pieces[p];
#pragma unroll
      for (int i = 0; i < kEach; ++i) values[p * kEach + i] = float_of(piece.values[i]);
    }
  }
  static __device__ float at(const void* weight, int64_t i) {
    return float_of(static_cast<const T*>(weight)[i]);
  }
};

/// Blocks without a reader of their own.
template <class Block>
struct OctetsOfBlocks {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    constexpr int kPerBlock = Block::kElements / kOctet;
    const Block& block = static_cast<const Block*>(weight)[octet / kPerBlock];
    const int first = static_cast<int>(octet % kPerBlock) * kOctet;
#pragma unroll
    for (int i = 0; i < kOctet; ++i) values[i] = dtype::decode(block, first + i);
  }
};

template <>
struct OctetsOfBlocks<dtype::Q8_0> {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    const int64_t block = octet / 4 * int64_t{sizeof(dtype::Q8_0)};
    const float scale =
        float_of(*reinterpret_cast<const dtype::F16*>(static_cast<const char*>(weight) + block));
    const uint2 codes = eight_bytes(weight, block + 2 + octet % 4 * 8);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const unsigned code = byte_at(i < 4 ? codes.x : codes.y, i % 4);
      values[i] = scale * static_cast<float>(static_cast<signed char>(code));
    }
  }
};

template <>
struct OctetsOfBlocks<dtype::Q4_0> {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    const int64_t block = octet / 4 * int64_t{sizeof(dtype::Q4_0)};
    const float scale =
        float_of(*reinterpret_cast<const dtype::F16*>(static_cast<const char*>(weight) + block));
    const uint2 codes = eight_bytes(weight, block + 2 + octet % 2 * 8);
    const int shift = static_cast<int>(octet % 4 / 2) * 4;  // values 16 … 31: the high halves
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const unsigned code = byte_at((i < 4 ? codes.x : codes.y) >> shift, i % 4) & 0xf;
      values[i] = scale * static_cast<float>(static_cast<int>(code) - 8);
    }
  }
};

template <>
struct OctetsOfBlocks<dtype::Mxfp4> {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    const int64_t block = octet / 4 * int64_t{sizeof(dtype::Mxfp4)};
    const float scale = dtype::mxfp4_half_scale(static_cast<const unsigned char*>(weight)[block]);
    const uint2 codes = eight_bytes(weight, block + 1 + octet % 2 * 8);
    const bool high = octet % 4 >= 2;  // values 16 … 31: the high halves
#pragma unroll
    for (int word = 0; word < 2; ++word) {
      const Mxfp4Bytes bytes = unpack_mxfp4(word == 0 ? codes.x : codes.y);
      const unsigned own = pick_bytes(bytes.first, bytes.second, high ? 0x7531 : 0x6420);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        values[word * 4 + i] = scale * static_cast<float>(static_cast<int>(byte_at(own, i)) - kMxfp4Bias);
    }
  }
};

template <>
struct OctetsOfBlocks<dtype::Q4_K> {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    const auto* block = static_cast<const dtype::Q4_K*>(weight) + octet / 32;
    const int of_block = static_cast<int>(octet % 32);
    const int group = of_block / 4;
    const uint4 head = *reinterpret_cast<const uint4*>(block);
    const uint2 codes = *reinterpret_cast<const uint2*>(block->qs + group / 2 * 32 + of_block % 4 * 8);
    const Q4_KScales groups = unpack_q4_k_scales(head.y, head.z, head.w);
    const auto multiple = [&](const unsigned(&of)[2]) {
      return static_cast<float>(byte_at(group < 4 ? of[0] : of[1], group % 4));
    };
    const auto half = [](unsigned bits) { return float_of(dtype::F16{static_cast<unsigned short>(bits)}); };
    const float scale = half(head.x & 0xffff) * multiple(groups.scales);
    const float min = half(head.x >> 16) * multiple(groups.mins);
    const int shift = group % 2 * 4;
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const unsigned code = byte_at((i < 4 ? codes.x : codes.y) >> shift, i % 4) & 0xf;
      values[i] = __fmaf_rn(scale, static_cast<float>(code), -min);
    }
  }
};

template <>
struct OctetsOfBlocks<dtype::Q6_K> {
  static __device__ void read(const void* weight, int64_t octet, float (&values)[kOctet]) {
    const int64_t block = octet / 32 * int64_t{sizeof(dtype::Q6_K)};
    const auto* bytes = static_cast<const char*>(weight) + block;
    const int half = static_cast<int>(octet % 32) / 16;
    const int group = static_cast<int>(octet % 16) / 4;  // of 32 values, in the half
    const int at = static_cast<int>(octet % 4) * 8;      // in the group
    const uint2 low = eight_bytes(weight, block + 64 * half + group % 2 * 32 + at);
    const uint2 high = eight_bytes(weight, block + 128 + 32 * half + at);
    const auto multiple = static_cast<signed char>(bytes[192 + octet % 32 / 2]);
    const float scale = float_of(*reinterpret_cast<const dtype::F16*>(bytes + 208)) *
                        static_cast<float>(multiple) * kQ6_KUnit;
#pragma unroll
    for (int word = 0; word < 2; ++word) {
      const unsigned codes = unpack_q6_k(word == 0 ? low.x : low.y, word == 0 ? high.x : high.y, group);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        values[word * 4 + i] = scale * static_cast<float>(static_cast<signed char>(byte_at(codes, i)));
    }
  }
};

/// Calls f(octets) with the reader of a weight's type: an OctetsOf or an OctetsOfBlocks.
template <class F>
void with_octets(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(OctetsOf<float>{});
    case DType::f16:
      return f(OctetsOf<dtype::F16>{});
    case DType::bf16:
      return f(OctetsOf<dtype::Bf16>{});
    case DType::f8_e4m3:
      return f(OctetsOf<dtype::F8E4M3>{});
    default:
      dtype::with_blocks(dtype, nullptr, [&]<class Block>(const Block*) { f(OctetsOfBlocks<Block>{}); });
  }
}

}  // namespace ingot::cuda
