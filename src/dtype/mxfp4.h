// mxfp4: 32 values as 4-bit floats (E2M1) of one power of two (OCP Microscaling Formats Specification 1.0,
// section 5). Format: GGUF, type 39; its order of the values differs from the specification's.
#pragma once

#include "dtype/hd.h"
#include "dtype/range.h"

namespace ingot::dtype {

struct Mxfp4 {
  static constexpr int kElements = 32;
  unsigned char e;       // E8M0: the scale is 2^(e - 127)
  unsigned char qs[16];  // byte j: value j in the low half, value j + 16 in the high half
};
static_assert(sizeof(Mxfp4) == 17 && alignof(Mxfp4) == 1);

/// Twice the value of an E2M1 code, which makes it an integer. The code of -0 is +0, as in GGUF. A constant
/// expression, so that kernels can build their own tables of it.
INGOT_HD constexpr int mxfp4_doubled_value(int code) {
  constexpr signed char kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  return kDoubled[code];
}

/// Half the scale, 2^(e - 128): what the doubled values are multiplied with. e = 255, NaN in the
/// specification, is a scale like any other in GGUF.
INGOT_HD inline float mxfp4_half_scale(unsigned char e) {
  const unsigned bits = e < 2 ? 0x00200000U << e : (e - 1U) << 23;  // subnormal below 2^-126
  return __builtin_bit_cast(float, bits);
}

INGOT_HD inline float decode(const Mxfp4& block, int i) {
  const int code = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  return mxfp4_half_scale(block.e) * static_cast<float>(mxfp4_doubled_value(code));
}

/// The scale is the specification's (section 6.3): the largest magnitude's power of two, less the 4 of E2M1's
/// own range, so magnitudes above 6 scales become 6. Ties towards zero, as the gguf package rounds them.
INGOT_HD inline void encode(const float* values, Mxfp4* block) {
  constexpr float kLargest = 0x1.fffffep127F;
  float largest = 0;
  for (int i = 0; i < Mxfp4::kElements; ++i) {
    const float magnitude = __builtin_fabsf(within(values[i], kLargest));
    largest = magnitude > largest ? magnitude : largest;
  }
  const int exponent = static_cast<int>(__builtin_bit_cast(unsigned, largest) >> 23);  // floor(log2) + 127
  *block = {};
  block->e = static_cast<unsigned char>(exponent > 2 ? exponent - 2 : 0);
  const float half = mxfp4_half_scale(block->e);
  for (int i = 0; i < Mxfp4::kElements; ++i) {
    const float value = within(values[i], kLargest);
    int code = 0;
    while (code < 7) {  // until the middle between this magnitude and the next
      const int both = mxfp4_doubled_value(code) + mxfp4_doubled_value(code + 1);
      if (__builtin_fabsf(value) <= half * (0.5F * static_cast<float>(both))) break;
      ++code;
    }
    if (value < 0 && code > 0) code += 8;
    block->qs[i % 16] = static_cast<unsigned char>(block->qs[i % 16] | code << (i / 16 * 4));
  }
}

}  // namespace ingot::dtype
