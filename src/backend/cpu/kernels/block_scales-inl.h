// The scales and minimums of block formats as f32 vectors: those of 256 weights at a time, at `base`.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_BLOCK_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_SCALES_INL_H_
#undef INGOT_CPU_BLOCK_SCALES_INL_H_
#else
#define INGOT_CPU_BLOCK_SCALES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "backend/cpu/kernels/block_fields-inl.h"
#include "backend/cpu/kernels/simd.h"
#include "dtype/formats.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// The scales of 256 weights' groups, then as many minimums (formats without: the scales again), as floats
/// in order: [scale of group 0 … n) [minimum of group 0 … n), n = 256 / kGroup.
template <int kGroup>
struct GroupScales {
  static constexpr int kGroups = kSuper / kGroup;
  static constexpr int kVectors = 2 * kGroups / kF32Lanes;
  VecF32 v[kVectors];

  HWY_INLINE void store(float* scales_then_mins) const {
    for (int i = 0; i < kVectors; ++i) hn::StoreU(v[i], F32(), scales_then_mins + i * kF32Lanes);
  }
};

HWY_INLINE uint16_t u16_at(const uint8_t* from) {
  uint16_t bits = 0;
  std::memcpy(&bits, from, 2);
  return bits;
}

/// An f16 in every lane.
HWY_INLINE VecF32 broadcast_f16(const uint8_t* from) {
  const hn::Rebind<uint16_t, F32> half;
  const hn::Rebind<hwy::float16_t, F32> d;
  return hn::PromoteTo(F32(), hn::BitCast(d, hn::Set(half, u16_at(from))));
}

/// Two values as the factors of scales and of minimums: vector i of a GroupScales takes `scale` or `min`.
template <int kGroup>
HWY_INLINE void multiply(GroupScales<kGroup>& scales, VecF32 scale, VecF32 min) {
  constexpr int kVectors = GroupScales<kGroup>::kVectors;
  if constexpr (kVectors == 1) {  // both in one
#if HWY_TARGET == HWY_AVX3
    const __m512 both = _mm512_mask_mov_ps(scale.raw, 0xff00, min.raw);
    scales.v[0] = hn::Mul(VecF32{both}, scales.v[0]);
#endif
  } else {
    HWY_UNROLL(8)
    for (int i = 0; i < kVectors; ++i) scales.v[i] = hn::Mul(i < kVectors / 2 ? scale : min, scales.v[i]);
  }
}

/// 16 bytes as floats, from vector `first` of a GroupScales on. T: int8_t or uint8_t.
template <typename T>
HWY_INLINE void floats_of_bytes(const T* bytes, VecF32* to) {
  const hn::Rebind<T, F32> d8;
  const I32 d32;
  HWY_UNROLL(4)
  for (int i = 0; i < 16 / kF32Lanes; ++i)
    to[i] = hn::ConvertTo(F32(), hn::PromoteTo(d32, hn::LoadU(d8, bytes + i * kF32Lanes)));
}

#if HWY_TARGET != HWY_SCALAR
using U16x8 = hn::FixedTag<uint16_t, 8>;
using U8x16 = hn::FixedTag<uint8_t, 16>;
using U32x4 = hn::FixedTag<uint32_t, 4>;

/// Eight 16-bit numbers, number i by at(i): built in a register, since a vector cannot be loaded from eight
/// stores that have just been made without waiting for them.
template <class At>
HWY_INLINE hn::Vec<U16x8> eight_u16(const At& at) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  const auto s = [&](int i) HWY_ATTR { return static_cast<short>(at(i)); };
  return hn::Vec<U16x8>{_mm_set_epi16(s(7), s(6), s(5), s(4), s(3), s(2), s(1), s(0))};
#else
  alignas(16) uint16_t numbers[8];
  for (int i = 0; i < 8; ++i) numbers[i] = at(i);
  return hn::Load(U16x8(), numbers);
#endif
}

/// Both as one sequence of 16, a vector of F32's lanes at a time: f(16-bit numbers, i).
template <class F>
HWY_INLINE void by_lanes(hn::Vec<U16x8> low, hn::Vec<U16x8> high, const F& f) {
  const hn::Rebind<uint16_t, F32> d;
#if HWY_TARGET == HWY_AVX3
  f(hn::Combine(d, high, low), 0);
#elif HWY_TARGET == HWY_AVX2
  f(low, 0);
  f(high, 1);
#else
  f(hn::LowerHalf(d, low), 0);
  f(hn::UpperHalf(d, low), 1);
  f(hn::LowerHalf(d, high), 2);
  f(hn::UpperHalf(d, high), 3);
#endif
}

HWY_INLINE GroupScales<32> scales_of_f16(hn::Vec<U16x8> scales, hn::Vec<U16x8> mins) {
  GroupScales<32> all;
  by_lanes(scales, mins, [&](auto halves, int i) HWY_ATTR {
    all.v[i] = hn::PromoteTo(F32(), hn::BitCast(hn::Rebind<hwy::float16_t, F32>(), halves));
  });
  return all;
}
#endif

/// Scales (f16) of eight blocks of 32.
template <int kStride>
HWY_INLINE GroupScales<32> f16_scales(const uint8_t* base) {
#if HWY_TARGET == HWY_SCALAR
  GroupScales<32> all;
  for (int i = 0; i < 8; ++i) all.v[i] = all.v[8 + i] = broadcast_f16(base + i * kStride);
  return all;
#else
  const auto scales = eight_u16([&](int i) HWY_ATTR { return u16_at(base + i * kStride); });
  return scales_of_f16(scales, scales);
#endif
}

/// Scales and the numbers that are added after them: minimums but for the sign.
template <int kStride>
HWY_INLINE GroupScales<32> f16_scales_and_addends(const uint8_t* base) {
#if HWY_TARGET == HWY_SCALAR
  GroupScales<32> all;
  for (int i = 0; i < 8; ++i) {
    all.v[i] = broadcast_f16(base + i * kStride);
    all.v[8 + i] = hn::Neg(broadcast_f16(base + i * kStride + 2));
  }
  return all;
#else
  const auto scales = eight_u16([&](int i) HWY_ATTR { return u16_at(base + i * kStride); });
  const auto addends = eight_u16([&](int i) HWY_ATTR { return u16_at(base + i * kStride + 2); });
  return scales_of_f16(scales, hn::Xor(addends, hn::Set(U16x8(), uint16_t{0x8000})));
#endif
}

/// Scales 2^(e - 128) of eight blocks of mxfp4: dtype::mxfp4_half_scale() on vectors.
HWY_INLINE GroupScales<32> e8m0_half_scales(const uint8_t* base, int stride) {
  GroupScales<32> all;
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 8; ++i)
    all.v[i] = all.v[8 + i] = hn::Set(F32(), dtype::mxfp4_half_scale(base[i * stride]));
#else
  const auto exponents = eight_u16([&](int i) HWY_ATTR { return uint16_t{base[i * stride]}; });
  by_lanes(exponents, exponents, [&](auto numbers, int i) HWY_ATTR {
    const hn::RebindToUnsigned<F32> d;
    const auto e = hn::PromoteTo(d, numbers);
    const auto normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d, 1U)));
    const auto subnormal = hn::ShiftLeft<21>(hn::Add(e, hn::Set(d, 1U)));  // of 0 and 1
    const auto bits = hn::IfThenElse(hn::Lt(hn::BitCast(I32(), e), hn::Set(I32(), 2)),
                                     hn::BitCast(I32(), subnormal), hn::BitCast(I32(), normal));
    all.v[i] = hn::BitCast(F32(), bits);
  });
#endif
  return all;
}

/// Scales and minimums of q4_k and q5_k: d, dmin and the 12 bytes that dtype::unpack_k_scale_min() is about.
HWY_INLINE GroupScales<32> k_scales(const uint8_t* base) {
  alignas(16) uint8_t bytes[16];  // eight scales, eight minimums
#if HWY_TARGET == HWY_SCALAR
  for (int g = 0; g < 8; ++g) {
    const dtype::KScaleMin of = dtype::unpack_k_scale_min(base + 4, g);
    bytes[g] = static_cast<uint8_t>(of.scale);
    bytes[8 + g] = static_cast<uint8_t>(of.min);
  }
#else
  const U8x16 d;
  const U32x4 d32;
  const auto header = hn::LoadU(d, base);
  // In groups of four: scales 0-3, 4-7, minimums 0-3, 4-7. The low bits, and the upper two of the odd ones.
  alignas(16) static constexpr uint8_t kLow[16] = {4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15};
  alignas(16) static constexpr uint8_t kHigh[16] = {4, 5, 6, 7, 4, 5, 6, 7, 8, 9, 10, 11, 8, 9, 10, 11};
  alignas(16) static constexpr uint32_t kShifts[4] = {0, 0, 0, 4};
  alignas(16) static constexpr uint32_t kLowMask[4] = {0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f};
  alignas(16) static constexpr uint32_t kHighMask[4] = {0, 0x30303030, 0, 0x30303030};
  const auto low = hn::BitCast(d32, hn::TableLookupBytes(header, hn::Load(d, kLow)));
  const auto high = hn::BitCast(d32, hn::TableLookupBytes(header, hn::Load(d, kHigh)));
  const auto all_low = hn::And(hn::Shr(low, hn::Load(d32, kShifts)), hn::Load(d32, kLowMask));
  const auto all_high = hn::And(hn::ShiftRight<2>(high), hn::Load(d32, kHighMask));
  hn::Store(hn::BitCast(d, hn::Or(all_low, all_high)), d, bytes);
#endif
  GroupScales<32> all;
  floats_of_bytes(bytes, all.v);
  multiply(all, broadcast_f16(base), broadcast_f16(base + 2));
  return all;
}

/// 16 signed scales of one scale, at d.
HWY_INLINE GroupScales<16> signed_scales(const int8_t* bytes, const uint8_t* d) {
  constexpr int kHalf = GroupScales<16>::kVectors / 2;
  GroupScales<16> all;
  floats_of_bytes(bytes, all.v);
  const VecF32 scale = broadcast_f16(d);
  HWY_UNROLL(4)
  for (int i = 0; i < kHalf; ++i) all.v[i] = all.v[kHalf + i] = hn::Mul(scale, all.v[i]);
  return all;
}

HWY_INLINE GroupScales<16> q3_k_scales(const uint8_t* base) {
  constexpr int kScales = offsetof(dtype::Q3_K, scales);
  alignas(16) int8_t bytes[16];
#if HWY_TARGET == HWY_SCALAR
  for (int g = 0; g < 16; ++g) bytes[g] = static_cast<int8_t>(dtype::unpack_q3_k_scale(base + kScales, g));
#else
  const U8x16 d;
  const U32x4 d32;
  static_assert(kScales + 14 == sizeof(dtype::Q3_K));
  const auto tail = hn::LoadU(d, base + kScales - 2);  // the block's last 16 bytes
  alignas(16) static constexpr uint8_t kLow[16] = {2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9};
  alignas(16) static constexpr uint8_t kHigh[16] = {10, 11, 12, 13, 10, 11, 12, 13,
                                                    10, 11, 12, 13, 10, 11, 12, 13};
  alignas(16) static constexpr uint32_t kLowShifts[4] = {0, 0, 4, 4};
  alignas(16) static constexpr uint32_t kHighShifts[4] = {0, 2, 4, 6};
  const auto low = hn::BitCast(d32, hn::TableLookupBytes(tail, hn::Load(d, kLow)));
  const auto high = hn::BitCast(d32, hn::TableLookupBytes(tail, hn::Load(d, kHigh)));
  const auto low_bits = hn::And(hn::Shr(low, hn::Load(d32, kLowShifts)), hn::Set(d32, 0x0f0f0f0fU));
  const auto high_bits = hn::And(hn::Shr(high, hn::Load(d32, kHighShifts)), hn::Set(d32, 0x03030303U));
  const auto both = hn::BitCast(d, hn::Or(low_bits, hn::ShiftLeft<4>(high_bits)));
  const hn::FixedTag<int8_t, 16> signed_d;
  hn::Store(hn::Sub(hn::BitCast(signed_d, both), hn::Set(signed_d, int8_t{32})), signed_d, bytes);
#endif
  return signed_scales(bytes, base + offsetof(dtype::Q3_K, d));
}

HWY_INLINE GroupScales<16> q2_k_scales(const uint8_t* base) {
  constexpr int kHalf = GroupScales<16>::kVectors / 2;
  alignas(16) uint8_t scales[16];
  alignas(16) uint8_t mins[16];
#if HWY_TARGET == HWY_SCALAR
  for (int g = 0; g < 16; ++g) {
    scales[g] = base[g] & 0xf;
    mins[g] = static_cast<uint8_t>(base[g] >> 4);
  }
#else
  const U8x16 d;
  const hn::FixedTag<uint16_t, 8> d16;
  const auto both = hn::LoadU(d, base);
  const auto mask = hn::Set(d, uint8_t{0xf});
  hn::Store(hn::And(both, mask), d, scales);
  hn::Store(hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, both))), mask), d, mins);
#endif
  GroupScales<16> all;
  floats_of_bytes(scales, all.v);
  floats_of_bytes(mins, all.v + kHalf);
  multiply(all, broadcast_f16(base + offsetof(dtype::Q2_K, d)),
           broadcast_f16(base + offsetof(dtype::Q2_K, dmin)));
  return all;
}

HWY_INLINE GroupScales<32> iq4_xs_scales(const uint8_t* base) {
  // Number i of 16 is group i % 8: by shifts of every lane.
  alignas(64) static constexpr uint32_t kLowShifts[16] = {0, 4, 8, 12, 16, 20, 24, 28,
                                                          0, 4, 8, 12, 16, 20, 24, 28};
  alignas(64) static constexpr uint32_t kHighShifts[16] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                           0, 2, 4, 6, 8, 10, 12, 14};
  uint32_t low_bits = 0;
  std::memcpy(&low_bits, base + offsetof(dtype::Iq4_XS, scales_low), 4);
  const hn::RebindToUnsigned<F32> d;
  const auto lows = hn::Set(d, low_bits);
  const auto highs = hn::Set(d, uint32_t{u16_at(base + offsetof(dtype::Iq4_XS, scales_high))});
  const VecF32 scale = broadcast_f16(base);
  GroupScales<32> all;
  HWY_UNROLL(4)
  for (int i = 0; i < GroupScales<32>::kVectors; ++i) {
    const int lane = i * kF32Lanes;
    const auto low = hn::And(hn::Shr(lows, hn::Load(d, kLowShifts + lane)), hn::Set(d, 0xfU));
    const auto high = hn::And(hn::Shr(highs, hn::Load(d, kHighShifts + lane)), hn::Set(d, 3U));
    const auto number = hn::BitCast(I32(), hn::Or(low, hn::ShiftLeft<4>(high)));
    all.v[i] = hn::Mul(scale, hn::ConvertTo(F32(), hn::Sub(number, hn::Set(I32(), 32))));
  }
  return all;
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_BLOCK_SCALES_INL_H_
