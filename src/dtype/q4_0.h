// q4_0: 32 values as 4-bit integers of one scale, offset by 8. Format: GGUF, type 2.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q4_0 {
  static constexpr int kElements = 32;
  F16 d;                 // scale
  unsigned char qs[16];  // byte j: value j in the low half, value j + 16 in the high half
};
static_assert(sizeof(Q4_0) == 18 && alignof(Q4_0) == 2);

INGOT_HD inline float decode(const Q4_0& block, int i) {
  const int q = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  return decode(block.d) * static_cast<float>(q - 8);
}

}  // namespace ingot::dtype
