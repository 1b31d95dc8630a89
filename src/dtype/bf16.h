// bfloat16: the upper half of an IEEE 754 binary32. Stored little-endian in 2 bytes.
#pragma once

#include "dtype/hd.h"

namespace ingot::dtype {

struct Bf16 {
  unsigned short bits;
};

INGOT_HD inline float decode(Bf16 value) {
  return __builtin_bit_cast(float, static_cast<unsigned>(value.bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays a (quiet) NaN.
INGOT_HD inline Bf16 encode_bf16(float value) {
  const unsigned bits = __builtin_bit_cast(unsigned, value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<unsigned short>((bits >> 16) | 0x40U)};
  return {static_cast<unsigned short>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

}  // namespace ingot::dtype
