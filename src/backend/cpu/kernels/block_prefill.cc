// Prompt rows times weights in blocks: the instances of block_prefill-inl.h for every instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/block_prefill.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels/block_prefill.h"

#include "backend/cpu/kernels/block_prefill-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void quantise_tile_of(const PrefillJob& job, const float* scales, int64_t tile, int64_t begin, int64_t end,
                      float* tiles) {
  quantise_tile(job, reinterpret_cast<const RowScale*>(scales), tile, begin, end, tiles);
}

void multiply_coded(const PrefillJob& job, const float* value_tiles, const float* block_tiles,
                    const PrefillPart& part, int64_t first, int64_t count, int64_t next_first,
                    float* scratch) {
  multiply_coded_block(job, value_tiles, block_tiles, part, first, count, next_first, scratch);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(quantise_tile_of);
HWY_EXPORT(multiply_coded);

void quantise_prompt_rows(const PrefillJob& job, const float* scales, int64_t tile, int64_t begin,
                          int64_t end, float* tiles) {
  HWY_DYNAMIC_DISPATCH(quantise_tile_of)(job, scales, tile, begin, end, tiles);
}

int64_t block_thread_floats(int64_t rows) {
  return kDecodedFloats + kBlockOutputs * padded_rows(rows);
}

void prefill_coded_block(const PrefillJob& job, const float* value_tiles, const float* block_tiles,
                         const PrefillPart& part, int64_t first, int64_t count, int64_t next_first,
                         float* scratch) {
  const auto multiply = HWY_DYNAMIC_DISPATCH(multiply_coded);
  multiply(job, value_tiles, block_tiles, part, first, count, next_first, scratch);
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
