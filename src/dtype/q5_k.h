// q5_k: 256 values as 5-bit integers in 8 groups of 32, whose scales and minimums are 6-bit integers of one
// scale each, packed as q4_k's. Format: GGUF, type 13.
#pragma once

#include "dtype/q4_k.h"

namespace ingot::dtype {

struct Q5_K {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 32;  // values that share a scale
  F16 d;                             // scale of the scales
  F16 dmin;                          // scale of the minimums
  unsigned char scales[12];          // for unpack_k_scale_min
  unsigned char qh[32];              // bit g of byte i: the fifth bit of value i of group g
  unsigned char
      qs[128];  // low bits, 32 bytes a pair of groups: the even group in the low halves, the odd in the high
};
static_assert(sizeof(Q5_K) == 176 && alignof(Q5_K) == 2);

INGOT_HD inline float decode(const Q5_K& block, int i) {
  const int group = i / Q5_K::kGroup;
  const int low = block.qs[group / 2 * 32 + i % 32] >> (group % 2 * 4) & 0xf;
  const int q = low | (block.qh[i % 32] >> group & 1) << 4;
  const KScaleMin of = unpack_k_scale_min(block.scales, group);
  return decode(block.d) * static_cast<float>(of.scale) * static_cast<float>(q) -
         decode(block.dmin) * static_cast<float>(of.min);
}

}  // namespace ingot::dtype
