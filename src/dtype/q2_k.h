// q2_k: 256 values as 2-bit integers in 16 groups of 16, whose scales and minimums are 4-bit integers of one
// scale each. Format: GGUF, type 10.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q2_K {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 16;  // values that share a scale
  unsigned char scales[16];  // a byte a group: its scale in the low half, its minimum in the high half
  unsigned char
      qs[64];  // 32 bytes a half of 128 values: value i of a half in bits 2 * (i / 32) of byte i % 32
  F16 d;       // scale of the scales
  F16 dmin;    // scale of the minimums
};
static_assert(sizeof(Q2_K) == 84 && alignof(Q2_K) == 2);

INGOT_HD inline float decode(const Q2_K& block, int i) {
  const int in_half = i % 128;
  const int q = block.qs[i / 128 * 32 + in_half % 32] >> (in_half / 32 * 2) & 3;
  const unsigned char of = block.scales[i / Q2_K::kGroup];
  return decode(block.d) * static_cast<float>(of & 0xf) * static_cast<float>(q) -
         decode(block.dmin) * static_cast<float>(of >> 4);
}

}  // namespace ingot::dtype
