// FP8 E4M3 (OCP 8-bit Floating Point Specification 1.0, section 5): 4 exponent bits of bias 7, 3 mantissa
// bits, no infinity, NaN only as 0x7f and 0xff.
#pragma once

#include "dtype/hd.h"

namespace ingot::dtype {

struct F8E4M3 {
  unsigned char bits;
};

INGOT_HD inline float decode(F8E4M3 value) {
  const unsigned sign = static_cast<unsigned>(value.bits & 0x80U) << 24;
  const unsigned exponent = (value.bits >> 3) & 0xfU;
  const unsigned mantissa = value.bits & 7U;
  if ((value.bits & 0x7fU) == 0x7fU) return __builtin_bit_cast(float, sign | 0x7fc00000U);
  if (exponent == 0) {  // zero and subnormals: mantissa x 2^-9, exact in binary32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9F;
    return __builtin_bit_cast(float, __builtin_bit_cast(unsigned, magnitude) | sign);
  }
  return __builtin_bit_cast(float, sign | ((exponent + 120U) << 23) | (mantissa << 20));
}

}  // namespace ingot::dtype
