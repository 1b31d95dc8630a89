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
