// q4_k: 256 values as 4-bit integers in 8 groups of 32, whose scales and minimums are 6-bit integers of one
// scale each. Format: GGUF, type 12.
#pragma once

#include "dtype/f16.h"

namespace ingot::dtype {

struct Q4_K {
  static constexpr int kElements = 256;
  static constexpr int kGroup = 32;  // values that share a scale
  F16 d;                             // scale of the scales
  F16 dmin;                          // scale of the minimums
  // Groups 0-3: scale in the low 6 bits of byte g, minimum in those of byte 4 + g. Groups 4-7: the low halves
  // of both in byte 8 + g - 4, their upper two bits in the upper two of the bytes of group g - 4.
  unsigned char scales[12];
  unsigned char qs[128];  // 32 bytes a pair of groups: the even group in the low halves, the odd in the high
};
static_assert(sizeof(Q4_K) == 144 && alignof(Q4_K) == 2);

/// Scale and minimum of a group, 0 … 63 each, as q4_k and q5_k pack them.
struct KScaleMin {
  int scale;
  int min;
};

INGOT_HD inline KScaleMin unpack_k_scale_min(const unsigned char* scales, int group) {
  if (group < 4) return {scales[group] & 63, scales[group + 4] & 63};
  return {(scales[group + 4] & 0xf) | (scales[group - 4] >> 6 << 4),
          (scales[group + 4] >> 4) | (scales[group] >> 6 << 4)};
}

/// Into bytes that are zero where nothing was packed yet.
INGOT_HD inline void pack_k_scale_min(KScaleMin of, int group, unsigned char* scales) {
  if (group < 4) {
    scales[group] = static_cast<unsigned char>(scales[group] | of.scale);
    scales[group + 4] = static_cast<unsigned char>(scales[group + 4] | of.min);
    return;
  }
  scales[group + 4] = static_cast<unsigned char>((of.scale & 0xf) | (of.min & 0xf) << 4);
  scales[group - 4] = static_cast<unsigned char>(scales[group - 4] | of.scale >> 4 << 6);
  scales[group] = static_cast<unsigned char>(scales[group] | of.min >> 4 << 6);
}

INGOT_HD inline float decode(const Q4_K& block, int i) {
  const int group = i / Q4_K::kGroup;
  const unsigned char byte = block.qs[group / 2 * 32 + i % 32];
  const int q = group % 2 == 0 ? byte & 0xf : byte >> 4;
  const KScaleMin of = unpack_k_scale_min(block.scales, group);
  return decode(block.d) * static_cast<float>(of.scale) * static_cast<float>(q) -
         decode(block.dmin) * static_cast<float>(of.min);
}

}  // namespace ingot::dtype
