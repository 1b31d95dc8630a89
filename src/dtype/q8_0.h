// q8_0: 32 values as 8-bit integers of one scale. Format: GGUF, type 8.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q8_0 {
  static constexpr int kElements = 32;
  F16 d;                     // scale
  signed char q[kElements];  // value i is d * q[i]
};
static_assert(sizeof(Q8_0) == 34 && alignof(Q8_0) == 2);

INGOT_HD inline float decode(const Q8_0& block, int i) {
  return decode(block.d) * static_cast<float>(block.q[i]);
}

}  // namespace ingot::dtype
