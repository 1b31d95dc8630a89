// q6_k: 256 values as 6-bit integers, offset by 32, in 16 groups of 16, whose scales are 8-bit integers of
// one scale. Format: GGUF, type 14.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q6_K {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 16;  // values that share a scale
  // Halves of 128 values. Value i of a half: the low 4 bits in ql, 64 bytes a half (i < 64: low halves of
  // byte i, else high halves of byte i - 64), the upper two in qh, 32 bytes a half (bits 2 * (i / 32) of byte
  // i % 32).
  unsigned char ql[128];
  unsigned char qh[64];
  signed char scales[16];
  F16 d;  // scale of the scales
};
static_assert(sizeof(Q6_K) == 210 && alignof(Q6_K) == 2);

/// Code i, 0 … 63, into a block whose codes are zero so far.
INGOT_HD inline void pack_q6_k(int i, int code, Q6_K* block) {
  const int in_half = i % 128;
  unsigned char& low = block->ql[i / 128 * 64 + in_half % 64];
  unsigned char& high = block->qh[i / 128 * 32 + in_half % 32];
  low = static_cast<unsigned char>(low | (code & 0xf) << (in_half / 64 * 4));
  high = static_cast<unsigned char>(high | code >> 4 << (in_half / 32 * 2));
}

INGOT_HD inline float decode(const Q6_K& block, int i) {
  const int half = i / 128;
  const int in_half = i % 128;
  const unsigned char low = block.ql[half * 64 + in_half % 64];
  const unsigned char high = block.qh[half * 32 + in_half % 32];
  const int q = (in_half < 64 ? low & 0xf : low >> 4) | ((high >> (in_half / 32 * 2) & 3) << 4);
  const int group = i / Q6_K::kGroup;
  return decode(block.d) * static_cast<float>(block.scales[group]) * static_cast<float>(q - 32);
}

}  // namespace ingot::dtype
