// q8_0: 32 values as 8-bit integers of one scale. Format: GGUF, type 8.
#pragma once

#include "dtype/f16.h"
#include "dtype/range.h"

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

/// The largest magnitude becomes ±127; ties away from zero.
INGOT_HD inline void encode(const float* values, Q8_0* block) {
  float largest = 0;
  for (int i = 0; i < Q8_0::kElements; ++i) {
    const float magnitude = __builtin_fabsf(within(values[i], kMaxF16 * 127));
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = largest / 127;
  const float inverse = inverse_scale(scale);
  block->d = encode_f16(scale);
  for (int i = 0; i < Q8_0::kElements; ++i) {
    const float exact = within(values[i], kMaxF16 * 127) * inverse;
    const int whole = static_cast<int>(exact);  // towards zero
    const float rest = exact - static_cast<float>(whole);
    block->q[i] = static_cast<signed char>(whole + (rest >= 0.5F ? 1 : 0) - (rest <= -0.5F ? 1 : 0));
  }
}

}  // namespace ingot::dtype
