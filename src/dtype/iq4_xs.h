// iq4_xs: 256 values as 4-bit indices of iq4_nl's table in 8 groups of 32, whose scales are 6-bit integers,
// offset by 32, of one scale. Format: GGUF, type 23.
#pragma once

#include "dtype/iq4_nl.h"

namespace ingot::dtype {

struct Iq4_XS {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 32;  // values that share a scale
  F16 d;                             // scale of the scales
  unsigned short scales_high;        // bits 2 * g: the upper two bits of group g's scale; little-endian
  unsigned char
      scales_low[4];      // the low 4 bits: group g in byte g / 2, the low half for even g, else the high
  unsigned char qs[128];  // 16 bytes a group, byte j: value j in the low half, value j + 16 in the high half
};
static_assert(sizeof(Iq4_XS) == 136 && alignof(Iq4_XS) == 2);

/// Scale of a group, -32 … 31.
INGOT_HD inline int unpack_iq4_xs_scale(const Iq4_XS& block, int group) {
  const int low = block.scales_low[group / 2] >> (group % 2 * 4) & 0xf;
  const int high = block.scales_high >> (group * 2) & 3;
  return (low | high << 4) - 32;
}

INGOT_HD inline float decode(const Iq4_XS& block, int i) {
  const int group = i / Iq4_XS::kGroup;
  const int index = block.qs[group * 16 + i % 16] >> (i % 32 / 16 * 4) & 0xf;
  return decode(block.d) * static_cast<float>(unpack_iq4_xs_scale(block, group)) *
         static_cast<float>(iq4_value(index));
}

}  // namespace ingot::dtype
