// Rows of activations as bytes, for products with block formats: groups of 32 share a scale.
//
// A row is a run of blocks of 256, the last one filled up with zeros. Each row is quantised by itself, so its
// bits depend on no other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"

namespace ingot::cpu {

/// 256 activations: x[k] is about q[k] * scale[k / 32]. The floats come in the order in which weights have
/// their scales and minimums (block_weights-inl.h), for formats with groups of 32 and of 16.
struct QuantisedBlock {
  static constexpr int64_t kElements = 256;
  static constexpr int64_t kGroup = 32;  // activations that share a scale

  int8_t q[kElements];
  float groups32[16];  // 8 scales, then 8 sums of scale * q
  float groups16[32];  // 16 scales, each of two groups, then 16 sums
};
static_assert(sizeof(QuantisedBlock) == 7 * 64);

/// Blocks of a row.
constexpr int64_t quantised_blocks(int64_t width) {
  return (width + QuantisedBlock::kElements - 1) / QuantisedBlock::kElements;
}
constexpr size_t quantised_bytes(int64_t rows, int64_t width) {
  return static_cast<size_t>(rows * quantised_blocks(width)) * sizeof(QuantisedBlock);
}

/// x: f32 [rows, width], width a multiple of 32. blocks: [rows, quantised_blocks(width)]. A group's scale is
/// its largest magnitude / 127; numbers round to nearest, ties to even. A NaN or infinity makes its group's
/// scale and sums NaN.
void quantise_rows(ThreadPool& pool, const float* x, int64_t rows, int64_t width, QuantisedBlock* blocks);

}  // namespace ingot::cpu
