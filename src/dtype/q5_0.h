// q5_0: 32 values as 5-bit integers of one scale, offset by 16. Format: GGUF, type 6.
#pragma once

#include "dtype/f16.h"
#include "dtype/range.h"

namespace ingot::dtype {

struct Q5_0 {
  static constexpr int kElements = 32;
  F16 d;                 // scale
  unsigned char qh[4];   // bit i % 8 of byte i / 8: the fifth bit of value i
  unsigned char qs[16];  // byte j: low bits of value j in the low half, of value j + 16 in the high half
};
static_assert(sizeof(Q5_0) == 22 && alignof(Q5_0) == 2);

INGOT_HD inline float decode(const Q5_0& block, int i) {
  const int low = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  const int q = low | (block.qh[i / 8] >> (i % 8) & 1) << 4;
  return decode(block.d) * static_cast<float>(q - 16);
}

/// The value of the largest magnitude becomes code 0, -16 steps: the longer end.
INGOT_HD inline void encode(const float* values, Q5_0* block) {
  float peak = 0;
  for (int i = 0; i < Q5_0::kElements; ++i) {
    const float value = within(values[i], kMaxF16 * 16);
    if (__builtin_fabsf(value) > __builtin_fabsf(peak)) peak = value;
  }
  const float scale = peak / -16;
  const float inverse = inverse_scale(scale);
  *block = {};
  block->d = encode_f16(scale);
  for (int i = 0; i < Q5_0::kElements; ++i) {
    const int rounded = static_cast<int>(within(values[i], kMaxF16 * 16) * inverse + 16.5F);
    const int q = rounded > 31 ? 31 : rounded;
    block->qs[i % 16] = static_cast<unsigned char>(block->qs[i % 16] | (q & 0xf) << (i / 16 * 4));
    block->qh[i / 8] = static_cast<unsigned char>(block->qh[i / 8] | q >> 4 << (i % 8));
  }
}

}  // namespace ingot::dtype
