// IEEE 754 binary16. Stored little-endian in 2 bytes.
#pragma once

#include "dtype/hd.h"

namespace ingot::dtype {

struct F16 {
  unsigned short bits;
};

INGOT_HD inline float decode(F16 value) {
  const unsigned sign = static_cast<unsigned>(value.bits & 0x8000U) << 16;
  const unsigned exponent = (value.bits >> 10) & 0x1fU;
  const unsigned mantissa = value.bits & 0x3ffU;
  if (exponent == 0) {  // zero and subnormals: mantissa x 2^-24, exact in binary32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return __builtin_bit_cast(float, __builtin_bit_cast(unsigned, magnitude) | sign);
  }
  const unsigned wide = exponent == 0x1fU ? 0xffU : exponent + 112U;  // infinity and NaN keep their meaning
  return __builtin_bit_cast(float, sign | (wide << 23) | (mantissa << 13));
}

/// Rounds to nearest, ties to even; overflow becomes infinity, NaN stays a (quiet) NaN.
INGOT_HD inline F16 encode_f16(float value) {
  const unsigned bits = __builtin_bit_cast(unsigned, value);
  const unsigned sign = (bits >> 16) & 0x8000U;
  const unsigned magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return {static_cast<unsigned short>(sign | 0x7e00U)};
  if (magnitude >= 0x477ff000U) return {static_cast<unsigned short>(sign | 0x7c00U)};  // rounds past 65504
  if (magnitude < 0x38800000U) {  // below 2^-14: adding 0.5 rounds at the subnormal's last bit, 2^-24
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5F;
    return {static_cast<unsigned short>(sign | (__builtin_bit_cast(unsigned, shifted) - 0x3f000000U))};
  }
  const unsigned rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return {static_cast<unsigned short>(sign | ((rounded - 0x38000000U) >> 13))};
}

}  // namespace ingot::dtype
