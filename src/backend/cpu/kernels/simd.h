// What all kernels share: weights of any type as f32 vectors, and reductions in a fixed order.
//
// Included once per Highway target, after <hwy/highway.h>, hence no #pragma once but Highway's own guard.
#if defined(INGOT_CPU_SIMD_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_SIMD_H_
#undef INGOT_CPU_SIMD_H_
#else
#define INGOT_CPU_SIMD_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "dtype/formats.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VecF32 = hn::Vec<F32>;

/// Lanes(F32) elements from memory of any alignment, as f32.
HWY_INLINE VecF32 load_f32(F32 d, const float* from) {
  return hn::LoadU(d, from);
}
HWY_INLINE VecF32 load_f32(F32 d, const dtype::Bf16* from) {
  const hn::Rebind<uint16_t, F32> half;
  const hn::RebindToUnsigned<F32> wide;
  const auto bits = hn::LoadU(half, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, bits)));
}
HWY_INLINE VecF32 load_f32(F32 d, const dtype::F16* from) {
  const hn::Rebind<hwy::float16_t, F32> half;
  return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
}

HWY_INLINE VecF32 load_f32(F32 d, const dtype::F8E4M3* from) {
  const hn::Rebind<uint8_t, F32> quarter;
  const hn::RebindToUnsigned<F32> wide;
  const auto bits = hn::PromoteTo(wide, hn::LoadU(quarter, reinterpret_cast<const uint8_t*>(from)));
  const auto sign = hn::ShiftLeft<24>(hn::And(bits, hn::Set(wide, 0x80U)));
  const auto rest = hn::And(bits, hn::Set(wide, 0x7fU));
  // The exponent's bias is 7, not 127: a product with 2^120 is exact, for subnormals too.
  const auto magnitude = hn::Mul(hn::BitCast(d, hn::ShiftLeft<20>(rest)), hn::Set(d, 0x1p120F));
  const auto is_nan = hn::RebindMask(d, hn::Eq(rest, hn::Set(wide, 0x7fU)));
  const auto value = hn::IfThenElse(is_nan, hn::Set(d, __builtin_nanf("")), magnitude);
  return hn::Or(value, hn::BitCast(d, sign));
}

/// The first `count` < Lanes elements, the others zero. Reads no byte beyond them.
template <typename W>
HWY_INLINE VecF32 load_f32_tail(F32 d, const W* from, size_t count) {
  HWY_ALIGN W padded[HWY_MAX_BYTES / 4] = {};
  std::memcpy(padded, from, count * sizeof(W));
  return load_f32(d, padded);
}

HWY_INLINE void store_tail(F32 d, VecF32 value, float* to, size_t count) {
  HWY_ALIGN float padded[HWY_MAX_BYTES / 4];
  hn::Store(value, d, padded);
  std::memcpy(to, padded, count * sizeof(float));
}

/// Sum over the lanes, in an order that only the target fixes.
HWY_INLINE float sum_lanes(F32 d, VecF32 value) {
  return hn::GetLane(hn::SumOfLanes(d, value));
}
HWY_INLINE float max_lanes(F32 d, VecF32 value) {
  return hn::GetLane(hn::MaxOfLanes(d, value));
}

/// out[i] = sum over the lanes of the i-th vector. Each sum's order is the same whichever place its vector
/// has; four at a time take a third of the instructions of one at a time.
HWY_INLINE void sum_lanes4(F32 d, VecF32 v0, VecF32 v1, VecF32 v2, VecF32 v3, float* out) {
#if HWY_TARGET == HWY_SCALAR
  (void)d;
  out[0] = hn::GetLane(v0);
  out[1] = hn::GetLane(v1);
  out[2] = hn::GetLane(v2);
  out[3] = hn::GetLane(v3);
#else
  // Within blocks of four lanes: transpose and add, in two steps.
  const hn::Repartition<double, F32> pairs;
  const auto v01 = hn::Add(hn::InterleaveLower(d, v0, v1), hn::InterleaveUpper(d, v0, v1));
  const auto v23 = hn::Add(hn::InterleaveLower(d, v2, v3), hn::InterleaveUpper(d, v2, v3));
  const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, v01), hn::BitCast(pairs, v23));
  const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, v01), hn::BitCast(pairs, v23));
  const auto sums = hn::Add(hn::BitCast(d, low), hn::BitCast(d, high));
  // Then the blocks, in order.
  const hn::FixedTag<float, 4> block;
  HWY_ALIGN float blocks[HWY_MAX_BYTES / 4];
  hn::Store(sums, d, blocks);
  auto total = hn::Load(block, blocks);
  for (size_t i = 4; i < hn::Lanes(d); i += 4) total = hn::Add(total, hn::Load(block, blocks + i));
  hn::StoreU(total, block, out);
#endif
}

/// Calls f(offset, count): whole vectors first, then a rest of count < Lanes. Each lane's arithmetic is the
/// same in both, so an element's bits do not depend on where it stands.
template <class Vector, class Tail>
HWY_INLINE void for_vectors(F32 d, int64_t elements, const Vector& vector, const Tail& tail) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= elements; i += lanes) vector(i);
  if (i < elements) tail(i, static_cast<size_t>(elements - i));
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_SIMD_H_
