// Stored weights as the bytes of a matrix instruction's operand: four values a register.
//
// Blocks keep values far apart in one byte (j and j + 16, or those of two groups), and an operand of
// m16n8k32 wants values k … k + 3 in one register and k + 16 … k + 19 in another of the same lane: so a word
// of codes becomes the two registers with masks alone. A bias that makes codes signed costs nothing where
// the code stands in the upper bits of its byte: flipping the sign bit subtracts it, and what the shift
// multiplies the value with is taken back in the scale.
//
// Integers only; host compilers take these too, for the tests.
#pragma once

#include "dtype/hd.h"

namespace ingot::cuda {

/// The four bytes that the hexadecimal digits of `selector` name, lowest first, of the eight in high:low; a
/// digit above 7 gives the sign bit of byte digit - 8, eight times.
INGOT_HD inline unsigned pick_bytes(unsigned low, unsigned high, unsigned selector) {
#ifdef __CUDA_ARCH__
  unsigned picked;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(picked) : "r"(low), "r"(high), "r"(selector));
  return picked;
#else
  const unsigned long long both = static_cast<unsigned long long>(high) << 32 | low;
  unsigned picked = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned digit = selector >> (4 * i) & 0xf;
    unsigned byte = static_cast<unsigned>(both >> (8 * (digit & 7))) & 0xff;
    if (digit > 7) byte = byte > 127 ? 0xff : 0;
    picked |= byte << (8 * i);
  }
  return picked;
#endif
}

/// The word that begins at any byte of words in memory (little-endian). Reads the words that hold it and, of
/// shared memory's words, the one after.
INGOT_HD inline unsigned word_at(const unsigned* words, int byte) {
  const unsigned low = words[byte >> 2];
  const unsigned high = words[(byte >> 2) + 1];
#ifdef __CUDA_ARCH__
  return __funnelshift_r(low, high, static_cast<unsigned>(byte) << 3);  // the shift counts modulo 32
#else
  const unsigned shift = (static_cast<unsigned>(byte) & 3) * 8;
  return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >> shift);
#endif
}

/// Two registers of one word of 4-bit codes: those in the low halves of its bytes and those in the high ones.
struct Halves {
  unsigned low;
  unsigned high;
};

/// q4_0: 16 * (code - 8), signed.
inline constexpr float kQ4_0Unit = 1.0F / 16;
INGOT_HD inline Halves unpack_q4_0(unsigned codes) {
  return {((codes << 4) & 0xf0f0f0f0U) ^ 0x80808080U, (codes & 0xf0f0f0f0U) ^ 0x80808080U};
}

/// q4_k: the codes, 0 … 15.
INGOT_HD inline Halves unpack_q4_k(unsigned codes) {
  return {codes & 0x0f0f0f0fU, (codes >> 4) & 0x0f0f0f0fU};
}

/// q6_k, group 0 … 3 of a half block: 4 * (code - 32), signed. `low`: the word of ql (that of group 0 or 1,
/// which 2 and 3 share), `high`: the word of qh, which all four share.
inline constexpr float kQ6_KUnit = 1.0F / 4;
INGOT_HD inline unsigned unpack_q6_k(unsigned low, unsigned high, int group) {
  const unsigned lower = (group < 2 ? low << 2 : low >> 2) & 0x3c3c3c3cU;
  const unsigned upper = (high << (6 - 2 * group)) & 0xc0c0c0c0U;
  return (lower | upper) ^ 0x80808080U;
}

/// mxfp4: the doubled values (mxfp4_doubled_value) plus 12, unsigned. Codes are digits that pick bytes of the
/// table of magnitudes. A negative code's upper bit picks a sign bit instead, of which all are 0; with these
/// bits flipped, the negative codes' magnitudes are picked, and 0 for the others. The digits come in the
/// order of the codes in memory: the bytes are those of values j, j + 16, j + 1, j + 17, then j + 2 and so
/// on.
inline constexpr int kMxfp4Bias = 12;
struct Mxfp4Bytes {
  unsigned first;
  unsigned second;
};
/// 0, 1, 2, 3; the other four magnitudes are known to unpack_mxfp4().
inline constexpr unsigned kMxfp4Magnitudes = 0x03020100U;
INGOT_HD inline Mxfp4Bytes unpack_mxfp4(unsigned codes, unsigned magnitudes = kMxfp4Magnitudes) {
  constexpr unsigned kLarger = 0x0c080604U;
  constexpr unsigned kBias = 0x01010101U * kMxfp4Bias;
  const unsigned flipped = codes ^ 0x88888888U;
  return {
      kBias + pick_bytes(magnitudes, kLarger, codes) - pick_bytes(magnitudes, kLarger, flipped),
      kBias + pick_bytes(magnitudes, kLarger, codes >> 16) - pick_bytes(magnitudes, kLarger, flipped >> 16)};
}
/// Words of values j … j + 3 and j + 16 … j + 19 in the order of Mxfp4Bytes.
INGOT_HD inline Mxfp4Bytes in_order_of_mxfp4(unsigned low, unsigned high) {
  return {pick_bytes(low, high, 0x5140), pick_bytes(low, high, 0x7362)};
}

/// Scales and minimums of q4_k's 8 groups, a byte each.
struct Q4_KScales {
  unsigned scales[2];  // groups 0 … 3, 4 … 7
  unsigned mins[2];
};

/// From the 12 bytes of Q4_K::scales as words.
INGOT_HD inline Q4_KScales unpack_q4_k_scales(unsigned word0, unsigned word1, unsigned word2) {
  return {{word0 & 0x3f3f3f3fU, (word2 & 0x0f0f0f0fU) | ((word0 >> 2) & 0x30303030U)},
          {word1 & 0x3f3f3f3fU, ((word2 >> 4) & 0x0f0f0f0fU) | ((word1 >> 2) & 0x30303030U)}};
}

}  // namespace ingot::cuda
