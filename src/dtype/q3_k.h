// q3_k: 256 values as 3-bit integers, offset by 4, in 16 groups of 16, whose scales are 6-bit integers,
// offset by 32, of one scale. Format: GGUF, type 11.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q3_K {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 16;  // values that share a scale
  unsigned char hmask[32];           // bit i / 32 of byte i % 32: the third bit of value i
  unsigned char
      qs[64];  // low bits, 32 bytes a half of 128: value i of a half in bits 2 * (i / 32) of byte i % 32
  // Group g's low 4 bits: byte g % 8, the low half for g < 8, else the high. Its upper two: bits 2 * (g / 4)
  // of byte 8 + g % 4.
  unsigned char scales[12];
  F16 d;  // scale of the scales
};
static_assert(sizeof(Q3_K) == 110 && alignof(Q3_K) == 2);

/// Scale of a group, -32 … 31.
INGOT_HD inline int unpack_q3_k_scale(const unsigned char* scales, int group) {
  const int low = scales[group % 8] >> (group / 8 * 4) & 0xf;
  const int high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

INGOT_HD inline float decode(const Q3_K& block, int i) {
  const int in_half = i % 128;
  const int low = block.qs[i / 128 * 32 + in_half % 32] >> (in_half / 32 * 2) & 3;
  const int high = block.hmask[i % 32] >> (i / 32) & 1;
  return decode(block.d) * static_cast<float>(unpack_q3_k_scale(block.scales, i / Q3_K::kGroup)) *
         static_cast<float>((low | high << 2) - 4);
}

}  // namespace ingot::dtype
