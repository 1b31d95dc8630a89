// iq4_nl: 32 values as 4-bit indices of a fixed table of 16 unevenly spaced integers, of one scale. Format:
// GGUF, type 20.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Iq4_NL {
  static constexpr int kElements = 32;
  F16 d;                 // scale
  unsigned char qs[16];  // byte j: value j in the low half, value j + 16 in the high half
};
static_assert(sizeof(Iq4_NL) == 18 && alignof(Iq4_NL) == 2);

/// The table of iq4_nl and iq4_xs: denser about zero, where most weights are. A constant expression, so that
/// kernels can build their own tables of it.
INGOT_HD constexpr int iq4_value(int index) {
  constexpr signed char kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
  return kValues[index];
}

INGOT_HD inline float decode(const Iq4_NL& block, int i) {
  const int index = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  return decode(block.d) * static_cast<float>(iq4_value(index));
}

}  // namespace ingot::dtype
