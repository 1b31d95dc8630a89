// q5_1: 32 values as 5-bit integers of one scale and one minimum. Format: GGUF, type 7.
#pragma once

#include "dtype/f16.h"
#include "dtype/range.h"

namespace ingot::dtype {

struct Q5_1 {
  static constexpr int kElements = 32;
  F16 d;                 // scale
  F16 m;                 // minimum: value i is d * q[i] + m
  unsigned char qh[4];   // bit i % 8 of byte i / 8: the fifth bit of value i
  unsigned char qs[16];  // byte j: low bits of value j in the low half, of value j + 16 in the high half
};
static_assert(sizeof(Q5_1) == 24 && alignof(Q5_1) == 2);

INGOT_HD inline float decode(const Q5_1& block, int i) {
  const int low = i < 16 ? block.qs[i] & 0xf : block.qs[i - 16] >> 4;
  const int q = low | (block.qh[i / 8] >> (i % 8) & 1) << 4;
  return decode(block.d) * static_cast<float>(q) + decode(block.m);
}

/// The least value becomes code 0, the largest 31.
INGOT_HD inline void encode(const float* values, Q5_1* block) {
  float least = within(values[0], kMaxF16);
  float most = least;
  for (int i = 1; i < Q5_1::kElements; ++i) {
    const float value = within(values[i], kMaxF16);
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  const float scale = (most - least) / 31;
  const float inverse = inverse_scale(scale);
  *block = {};
  block->d = encode_f16(scale);
  block->m = encode_f16(least);
  for (int i = 0; i < Q5_1::kElements; ++i) {
    const float raised = (within(values[i], kMaxF16) - least) * inverse + 0.5F;
    const int q = raised >= 31 ? 31 : static_cast<int>(raised);
    block->qs[i % 16] = static_cast<unsigned char>(block->qs[i % 16] | (q & 0xf) << (i / 16 * 4));
    block->qh[i / 8] = static_cast<unsigned char>(block->qh[i / 8] | q >> 4 << (i % 8));
  }
}

}  // namespace ingot::dtype
