// How the GPU's products unpack blocks, on the host: registers of four values against the formats' own
// decoding, for every code.
#include "backend/cuda/kernels/block_unpack.cuh"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "dtype/formats.h"

namespace ingot::cuda {
namespace {

constexpr int kBlocks = 300;

template <class Block>
std::vector<Block> random_blocks() {
  std::mt19937 random(7);
  std::vector<Block> blocks(kBlocks);
  for (Block& block : blocks) {
    unsigned char bytes[sizeof(Block)];
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
    std::memcpy(&block, bytes, sizeof(block));
    if constexpr (requires { block.d; }) block.d = dtype::encode_f16(0.25F);
    if constexpr (requires { block.dmin; }) block.dmin = dtype::encode_f16(0.5F);
    if constexpr (requires { block.e; }) block.e = 125;
  }
  return blocks;
}

/// A word of codes, as a kernel's lane reads it from memory.
unsigned word_of(const unsigned char* bytes, size_t at) {
  unsigned word = 0;
  std::memcpy(&word, bytes + at, sizeof(word));
  return word;
}
int signed_byte(unsigned word, int i) {
  return static_cast<signed char>(word >> (8 * i) & 0xff);
}
int unsigned_byte(unsigned word, int i) {
  return static_cast<int>(word >> (8 * i) & 0xff);
}

TEST(BlockUnpack, PicksBytes) {
  EXPECT_EQ(pick_bytes(0x33221100U, 0x77665544U, 0x7250), 0x77225500U);
  EXPECT_EQ(pick_bytes(0x80ffU, 0x7fU, 0x98cb), 0xffff0000U);  // sign bits of bytes 3, 4, 0 and 1
}

TEST(BlockUnpack, ReadsWordsAnywhere) {
  const unsigned words[] = {0x03020100U, 0x07060504U, 0x0b0a0908U};
  EXPECT_EQ(word_at(words, 0), 0x03020100U);
  EXPECT_EQ(word_at(words, 1), 0x04030201U);
  EXPECT_EQ(word_at(words, 6), 0x09080706U);
}

TEST(BlockUnpack, Q4_0) {
  for (const dtype::Q4_0& block : random_blocks<dtype::Q4_0>()) {
    for (int word = 0; word < 4; ++word) {
      const Halves halves = unpack_q4_0(word_of(block.qs, static_cast<size_t>(word) * 4));
      for (int i = 0; i < 4; ++i) {
        const float unit = kQ4_0Unit * dtype::decode(block.d);
        ASSERT_EQ(unit * static_cast<float>(signed_byte(halves.low, i)), decode(block, word * 4 + i));
        ASSERT_EQ(unit * static_cast<float>(signed_byte(halves.high, i)), decode(block, 16 + word * 4 + i));
      }
    }
  }
}

TEST(BlockUnpack, Q4_K) {
  for (const dtype::Q4_K& block : random_blocks<dtype::Q4_K>()) {
    const Q4_KScales groups =
        unpack_q4_k_scales(word_of(block.scales, 0), word_of(block.scales, 4), word_of(block.scales, 8));
    const auto value = [&](int group, int code) {
      const int scale = unsigned_byte(groups.scales[group / 4], group % 4);
      const int min = unsigned_byte(groups.mins[group / 4], group % 4);
      return dtype::decode(block.d) * static_cast<float>(scale) * static_cast<float>(code) -
             dtype::decode(block.dmin) * static_cast<float>(min);
    };
    for (int word = 0; word < 32; ++word) {
      const Halves halves = unpack_q4_k(word_of(block.qs, static_cast<size_t>(word) * 4));
      const int group = word / 8 * 2;
      for (int i = 0; i < 4; ++i) {
        const int at = group * 32 + word % 8 * 4 + i;
        ASSERT_EQ(value(group, unsigned_byte(halves.low, i)), decode(block, at));
        ASSERT_EQ(value(group + 1, unsigned_byte(halves.high, i)), decode(block, at + 32));
      }
    }
  }
}

TEST(BlockUnpack, Q6_K) {
  for (const dtype::Q6_K& block : random_blocks<dtype::Q6_K>()) {
    for (int i = 0; i < 256; i += 4) {
      const auto half = static_cast<size_t>(i / 128);
      const auto in_group = static_cast<size_t>(i % 32);
      const int group = i % 128 / 32;
      const unsigned low = word_of(block.ql, half * 64 + static_cast<size_t>(group % 2) * 32 + in_group);
      const unsigned high = word_of(block.qh, half * 32 + in_group);
      const unsigned codes = unpack_q6_k(low, high, group);
      const int sixteen = i / 16;
      const auto scale = static_cast<float>(block.scales[sixteen]);
      const float unit = kQ6_KUnit * dtype::decode(block.d) * scale;
      for (int j = 0; j < 4; ++j)
        ASSERT_EQ(unit * static_cast<float>(signed_byte(codes, j)), decode(block, i + j)) << i + j;
    }
  }
}

TEST(BlockUnpack, Mxfp4) {
  for (const dtype::Mxfp4& block : random_blocks<dtype::Mxfp4>()) {
    for (int word = 0; word < 4; ++word) {
      const Mxfp4Bytes bytes = unpack_mxfp4(word_of(block.qs, static_cast<size_t>(word) * 4));
      // Numbers of the values, put into the same order, say which each byte is.
      const unsigned numbers = 0x03020100U + 0x04040404U * static_cast<unsigned>(word);
      const Mxfp4Bytes order = in_order_of_mxfp4(numbers, numbers + 0x10101010U);
      for (int i = 0; i < 8; ++i) {
        const int value = unsigned_byte(i < 4 ? bytes.first : bytes.second, i % 4) - kMxfp4Bias;
        const int at = unsigned_byte(i < 4 ? order.first : order.second, i % 4);
        ASSERT_EQ(dtype::mxfp4_half_scale(block.e) * static_cast<float>(value), decode(block, at)) << at;
      }
    }
  }
}

}  // namespace
}  // namespace ingot::cuda
