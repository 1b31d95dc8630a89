#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/quantised_rows.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels/quantised_rows.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// One group of 32.
HWY_INLINE void quantise_group(const float* x, int group, QuantisedBlock& block) {
  constexpr int kGroup = QuantisedBlock::kGroup;
  const F32 d;
  const hn::RebindToSigned<F32> d32;
  const hn::Rebind<int8_t, F32> d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
  auto largest = hn::Zero(d);
  auto not_finite = hn::Zero(d);  // infinity * 0 is NaN; the largest of NaN and a number may be either
  for (int i = 0; i < kGroup; i += kLanes) {
    const auto v = hn::LoadU(d, x + i);
    largest = hn::Max(largest, hn::Abs(v));
    not_finite = hn::MulAdd(v, hn::Zero(d), not_finite);
  }
  const float amax = max_lanes(d, largest);
  // Below it, 127 / amax would be infinite.
  const bool is_zero = amax < 0x1p-100F;
  const float scale = (is_zero ? 0.0F : amax / 127.0F) + sum_lanes(d, not_finite);
  const auto inverse = hn::Set(d, is_zero ? 0.0F : 127.0F / amax);
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits, ties to even, on every target.
  const auto magic = hn::Set(d, 0x1.8p23F);
  int32_t sums[2] = {};
  for (int half = 0; half < 2; ++half) {
    auto sum = hn::Zero(d32);
    for (int i = half * 16; i < half * 16 + 16; i += kLanes) {
      const auto shifted = hn::Add(hn::Mul(hn::LoadU(d, x + i), inverse), magic);
      const auto q = hn::Sub(hn::BitCast(d32, shifted), hn::BitCast(d32, magic));
      hn::StoreU(hn::DemoteTo(d8, q), d8, block.q + group * kGroup + i);
      sum = hn::Add(sum, q);
    }
    sums[half] = hn::GetLane(hn::SumOfLanes(d32, sum));
  }
  block.groups32[group] = scale;
  block.groups32[8 + group] = scale * static_cast<float>(sums[0] + sums[1]);
  for (int half = 0; half < 2; ++half) {
    block.groups16[group * 2 + half] = scale;
    block.groups16[16 + group * 2 + half] = scale * static_cast<float>(sums[half]);
  }
}

/// `width`: of the block, a multiple of 32.
void quantise_block(const float* x, int64_t width, QuantisedBlock& block) {
  if (width < QuantisedBlock::kElements) std::memset(&block, 0, sizeof(block));
  for (int64_t k = 0; k < width; k += QuantisedBlock::kGroup)
    quantise_group(x + k, static_cast<int>(k / QuantisedBlock::kGroup), block);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(quantise_block);

void quantise_rows(ThreadPool& pool, const float* x, int64_t rows, int64_t width, QuantisedBlock* blocks) {
  const int64_t count = quantised_blocks(width);
  const auto quantise = HWY_DYNAMIC_DISPATCH(quantise_block);
  parallel_items(pool, rows * count, QuantisedBlock::kElements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % count * QuantisedBlock::kElements;
      quantise(x + i / count * width + first, std::min(width - first, QuantisedBlock::kElements), blocks[i]);
    }
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
