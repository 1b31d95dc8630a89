// q4_1: 32 values as 4-bit integers of one scale and one minimum. Format: GGUF, type 3.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q4_1 {
  static constexpr int kElements = 32;
  F16 d;                 // scale
  F16 m;                 // minimum: value i is d * q[i] + m
  unsigned char qs[16];  // byte j: value j in the low half, value j + 16 in the high half
};
static_assert(sizeof(Q4_1) == 20 && alignof(Q4_1) == 2);

INGOT_HD inline float decode(const Q4_1& block, int i) {
  const int q = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  return decode(block.d) * static_cast<float>(q) + decode(block.m);
}

}  // namespace ingot::dtype
