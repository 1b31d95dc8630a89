// q4_0: 32 values as 4-bit integers of one scale, offset by 8. Format: GGUF, type 2.
#pragma once

#include "dtype/f16.h"
#include "dtype/range.h"

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

/// The value of the largest magnitude becomes code 0, -8 steps: the longer end.
INGOT_HD inline void encode(const float* values, Q4_0* block) {
  float peak = 0;
  for (int i = 0; i < Q4_0::kElements; ++i) {
    const float value = within(values[i], kMaxF16 * 8);
    if (__builtin_fabsf(value) > __builtin_fabsf(peak)) peak = value;
  }
  const float scale = peak / -8;
  const float inverse = inverse_scale(scale);
  *block = {};
  block->d = encode_f16(scale);
  for (int i = 0; i < Q4_0::kElements; ++i) {
    const int rounded = static_cast<int>(within(values[i], kMaxF16 * 8) * inverse + 8.5F);
    const int q = rounded > 15 ? 15 : rounded;
    block->qs[i % 16] = static_cast<unsigned char>(block->qs[i % 16] | q << (i / 16 * 4));
  }
}

}  // namespace ingot::dtype
