// q4_1: 32 values as 4-bit integers of one scale and one minimum. Format: GGUF, type 3.
#pragma once

#include "dtype/f16.h"
#include "dtype/range.h"

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

/// The least value becomes code 0, the largest 15.
INGOT_HD inline void encode(const float* values, Q4_1* block) {
  float least = within(values[0], kMaxF16);
  float most = least;
  for (int i = 1; i < Q4_1::kElements; ++i) {
    const float value = within(values[i], kMaxF16);
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  const float scale = (most - least) / 15;
  const float inverse = inverse_scale(scale);
  *block = {};
  block->d = encode_f16(scale);
  block->m = encode_f16(least);
  for (int i = 0; i < Q4_1::kElements; ++i) {
    const float raised = (within(values[i], kMaxF16) - least) * inverse + 0.5F;
    const int q = raised >= 15 ? 15 : static_cast<int>(raised);
    block->qs[i % 16] = static_cast<unsigned char>(block->qs[i % 16] | q << (i / 16 * 4));
  }
}

}  // namespace ingot::dtype
