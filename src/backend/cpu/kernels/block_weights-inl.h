// Weights of the block formats as bytes and scales, straight from the stored blocks:
//
//     weight[k] = scale[k / group] * (byte[k] - kOffset)                  symmetric formats
//     weight[k] = scale[k / group] * byte[k] - min[k / group]             formats with minimums (kHasMins)
//
// Everything here is about 256 weights at a time, which begin at `base`, at any address: one block of a k
// format or eight of the formats of 32. No byte beyond them is read; the last weights of a row whose width is
// no multiple of 256 are copied before zeros (PaddedWeights). What a format is made of is written once, as
// the places of its bit fields, and every vector length takes its instructions from that.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_BLOCK_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#undef INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#else
#define INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "backend/cpu/kernels/int8_dot-inl.h"
#include "backend/cpu/kernels/simd.h"
#include "dtype/formats.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

constexpr int kSuper = 256;  // weights at a time
constexpr int kF32Lanes = kByteLanes / 4;

// ---- Bytes --------------------------------------------------------------------------------------------

/// Where 16 consecutive weights have a bit field: 16 bytes at `offset`, each to be shifted right (left where
/// negative).
struct Run {
  int offset;
  int shift;
};

#if HWY_TARGET != HWY_SCALAR
/// (every lane's bits) >> the shift of its 16 bytes; bits that cross a byte are the caller's to mask.
template <int kFirst, class Field>
HWY_INLINE VecU8 shift_runs(VecU8 bytes) {
  constexpr int kRuns = kByteLanes / 16;
  constexpr int kShift = Field::run(kFirst).shift;
  constexpr bool kAllEqual = [] {
    for (int i = 1; i < kRuns; ++i)
      if (Field::run(kFirst + i).shift != kShift) return false;
    return true;
  }();
  const U8 d;
  if constexpr (kAllEqual) {
    const hn::Repartition<uint16_t, U8> d16;
    const auto pairs = hn::BitCast(d16, bytes);
    if constexpr (kShift > 0) return hn::BitCast(d, hn::ShiftRight<kShift>(pairs));
    if constexpr (kShift < 0) return hn::BitCast(d, hn::ShiftLeft<-kShift>(pairs));
    return bytes;
  } else {
    // A table that the compiler keeps in a register.
    constexpr auto kShifts = [] {
      std::array<uint32_t, kByteLanes / 4> shifts{};
      for (size_t i = 0; i < shifts.size(); ++i) {
        const int shift = Field::run(kFirst + static_cast<int>(i) / 4).shift;
        shifts[i] = static_cast<uint32_t>(shift < 0 ? -shift : shift);
      }
      return shifts;
    }();
    constexpr bool kIsLeft = Field::run(kFirst + kRuns - 1).shift < 0 || kShift < 0;
    alignas(64) static constexpr auto kTable = kShifts;
    const hn::Repartition<uint32_t, U8> d32;
    const auto shifts = hn::Load(d32, kTable.data());
    const auto words = hn::BitCast(d32, bytes);
    return hn::BitCast(d, kIsLeft ? hn::Shl(words, shifts) : hn::Shr(words, shifts));
  }
}

/// The bytes of the runs kFirst … of a field.
template <int kFirst, class Field>
HWY_INLINE VecU8 load_runs(const uint8_t* base) {
  constexpr int kA = Field::run(kFirst).offset;
#if HWY_TARGET == HWY_AVX3
  constexpr int kB = Field::run(kFirst + 1).offset;
  constexpr int kC = Field::run(kFirst + 2).offset;
  constexpr int kD = Field::run(kFirst + 3).offset;
  const auto load128 = [base](int offset) HWY_ATTR {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(base + offset));
  };
  const auto load256 = [base](int offset) HWY_ATTR {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + offset));
  };
  static_assert((kB == kA && kD == kC) || (kB == kA + 16 && kD == kC + 16));
  if constexpr (kB == kA) {
    const __m512i low = _mm512_broadcast_i64x2(load128(kA));
    return VecU8{_mm512_mask_broadcast_i64x2(low, 0xf0, load128(kC))};
  } else if constexpr (kC == kA + 32) {
    return load_u8(base + kA);
  } else if constexpr (kC == kA) {
    return VecU8{_mm512_broadcast_i64x4(load256(kA))};
  } else {
    return VecU8{_mm512_inserti64x4(_mm512_castsi256_si512(load256(kA)), load256(kC), 1)};
  }
#elif HWY_TARGET == HWY_AVX2
  constexpr int kB = Field::run(kFirst + 1).offset;
  static_assert(kB == kA || kB == kA + 16);
  if constexpr (kB == kA) return hn::LoadDup128(U8(), base + kA);
  return load_u8(base + kA);
#else
  return load_u8(base + kA);
#endif
}
#endif  // vectors

/// A bit field of weights kAt …: as many as a vector has bytes.
template <int kAt, class Field>
HWY_INLINE VecU8 field(const uint8_t* base) {
  constexpr int kFirst = kAt / 16;
#if HWY_TARGET == HWY_SCALAR
  constexpr Run kRun = Field::run(kFirst);
  VecU8 bytes = load_u8(base + kRun.offset + kAt % 16);
  for (uint8_t& byte : bytes.raw) {
    const int shifted = kRun.shift < 0 ? byte << -kRun.shift : byte >> kRun.shift;
    byte = static_cast<uint8_t>(shifted & Field::kMask);
  }
  return bytes;
#else
  const VecU8 bytes = shift_runs<kFirst, Field>(load_runs<kFirst, Field>(base));
  if constexpr (Field::kMask == 0xff) return bytes;
  return hn::And(bytes, hn::Set(U8(), uint8_t{Field::kMask}));
#endif
}

HWY_INLINE VecU8 or_bytes(VecU8 a, VecU8 b) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) a.raw[i] = static_cast<uint8_t>(a.raw[i] | b.raw[i]);
  return a;
#else
  return hn::Or(a, b);
#endif
}

/// table[index] of every byte; `table`: 16 bytes, aligned.
HWY_INLINE VecU8 look_up(const uint8_t* table, VecU8 indices) {
#if HWY_TARGET == HWY_SCALAR
  for (uint8_t& index : indices.raw) index = table[index];
  return indices;
#else
  return hn::TableLookupBytes(hn::LoadDup128(U8(), table), indices);
#endif
}

/// Blocks of 32 weights whose bytes follow each other: byte j of kQs …, value j.
template <class Block, int kQs>
struct ByteField {
  static constexpr uint8_t kMask = 0xff;
  static constexpr Run run(int r) { return {r / 2 * static_cast<int>(sizeof(Block)) + kQs + r % 2 * 16, 0}; }
};
/// Blocks of 32 weights: values 0-15 in the low halves of 16 bytes, values 16-31 in the high ones.
template <int kStride, int kQs>
struct HalvesField {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {r / 2 * kStride + kQs, r % 2 * 4}; }
};
/// 32 bytes hold two groups of 32 weights: the even one in the low halves, the odd one in the high.
template <int kQs>
struct PairsField {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {kQs + r / 4 * 32 + r % 2 * 16, r / 2 % 2 * 4}; }
};
/// Bit g of byte i belongs to value i of group g; it is to become bit kTo.
template <int kQh, int kTo>
struct BitField {
  static constexpr uint8_t kMask = 1 << kTo;
  static constexpr Run run(int r) { return {kQh + r % 2 * 16, r / 2 - kTo}; }
};
/// 32 bytes hold two bits of each of 128 weights: group g of these in bits 2 * g; they are to become bits kTo
/// and kTo + 1.
template <int kQs, int kTo>
struct TwoBitField {
  static constexpr uint8_t kMask = 3 << kTo;
  static constexpr Run run(int r) { return {kQs + r / 8 * 32 + r % 2 * 16, r % 8 / 2 * 2 - kTo}; }
};
/// 64 bytes hold the low four bits of 128 weights: values 0-63 in the low halves, 64-127 in the high.
template <int kQs>
struct LongPairsField {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {kQs + r / 8 * 64 + r % 4 * 16, r % 8 / 4 * 4}; }
};

/// 0x10 for every weight whose bit of the 32 that its block has at kQh is set.
template <int kAt, int kStride, int kQh>
HWY_INLINE VecU8 fifth_bits(const uint8_t* base) {
  const auto bits_of = [base](int block) {
    uint32_t bits = 0;
    std::memcpy(&bits, base + block * kStride + kQh, 4);
    return bits;
  };
  constexpr int kBlock = kAt / 32;
  const uint32_t bits = bits_of(kBlock) >> (kAt % 32);
#if HWY_TARGET == HWY_SCALAR
  VecU8 fifth;
  for (int i = 0; i < 4; ++i) fifth.raw[i] = static_cast<uint8_t>((bits >> i & 1) << 4);
  return fifth;
#elif HWY_TARGET == HWY_AVX3
  const __mmask64 both = bits | static_cast<uint64_t>(bits_of(kBlock + 1)) << 32;
  return VecU8{_mm512_maskz_set1_epi8(both, 0x10)};
#else
  // Every byte gets the eight bits that its own is among.
  alignas(32) static constexpr uint8_t kSpread[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                                      2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  alignas(16) static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const U8 d;
  const hn::Repartition<uint32_t, U8> d32;
  const auto spread = hn::TableLookupBytes(hn::BitCast(d, hn::Set(d32, bits)), hn::Load(d, kSpread));
  const auto own = hn::LoadDup128(d, kBits);
  return hn::VecFromMask(d, hn::Eq(hn::And(spread, own), own)) & hn::Set(d, uint8_t{0x10});
#endif
}

// ---- Scales -------------------------------------------------------------------------------------------

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
#if HWY_ARCH_X86
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

// ---- Formats ------------------------------------------------------------------------------------------

/// What the formats are: values<kAt>(base) is the bytes of weights kAt … kAt + kByteLanes, scales(base) the
/// scales and minimums of all groups. Wide: the bytes are signed, as_signed() of them (int8_dot-inl.h).
template <class Block>
struct BlockWeights;

template <int kGroupOf, int kOffsetOf, bool kHasMinsOf = false, bool kIsWideOf = false>
struct BlockTraits {
  static constexpr int kGroup = kGroupOf;
  static constexpr int kOffset = kOffsetOf;
  static constexpr bool kHasMins = kHasMinsOf;
  static constexpr bool kIsWide = kIsWideOf;
};

/// Bytes of 256 weights.
template <class Block>
constexpr int kSuperBytes = kSuper / Block::kElements * static_cast<int>(sizeof(Block));

template <>
struct BlockWeights<dtype::Q8_0> : BlockTraits<32, 0, false, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return field<kAt, ByteField<dtype::Q8_0, offsetof(dtype::Q8_0, q)>>(base);
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<34>(base); }
};

template <>
struct BlockWeights<dtype::Q4_0> : BlockTraits<32, 8> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return field<kAt, HalvesField<18, 2>>(base);
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<18>(base); }
};

template <>
struct BlockWeights<dtype::Q4_1> : BlockTraits<32, 0, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return field<kAt, HalvesField<20, 4>>(base);
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales_and_addends<20>(base); }
};

template <>
struct BlockWeights<dtype::Q5_0> : BlockTraits<32, 16> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return or_bytes(field<kAt, HalvesField<22, 6>>(base), fifth_bits<kAt, 22, 2>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<22>(base); }
};

template <>
struct BlockWeights<dtype::Q5_1> : BlockTraits<32, 0, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return or_bytes(field<kAt, HalvesField<24, 8>>(base), fifth_bits<kAt, 24, 4>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales_and_addends<24>(base); }
};

template <>
struct BlockWeights<dtype::Q2_K> : BlockTraits<16, 0, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return field<kAt, TwoBitField<offsetof(dtype::Q2_K, qs), 0>>(base);
  }
  static HWY_INLINE GroupScales<16> scales(const uint8_t* base) { return q2_k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q3_K> : BlockTraits<16, 4> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return or_bytes(field<kAt, TwoBitField<offsetof(dtype::Q3_K, qs), 0>>(base),
                    field<kAt, BitField<offsetof(dtype::Q3_K, hmask), 2>>(base));
  }
  static HWY_INLINE GroupScales<16> scales(const uint8_t* base) { return q3_k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q4_K> : BlockTraits<32, 0, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return field<kAt, PairsField<offsetof(dtype::Q4_K, qs)>>(base);
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q5_K> : BlockTraits<32, 0, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return or_bytes(field<kAt, PairsField<offsetof(dtype::Q5_K, qs)>>(base),
                    field<kAt, BitField<offsetof(dtype::Q5_K, qh), 4>>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q6_K> : BlockTraits<16, 32> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return or_bytes(field<kAt, LongPairsField<offsetof(dtype::Q6_K, ql)>>(base),
                    field<kAt, TwoBitField<offsetof(dtype::Q6_K, qh), 4>>(base));
  }
  static HWY_INLINE GroupScales<16> scales(const uint8_t* base) {
    return signed_scales(reinterpret_cast<const int8_t*>(base) + offsetof(dtype::Q6_K, scales),
                         base + offsetof(dtype::Q6_K, d));
  }
};

/// The table of iq4_nl and iq4_xs as bytes.
struct Iq4Table {
  alignas(16) static constexpr std::array<uint8_t, 16> kBytes = [] {
    std::array<uint8_t, 16> bytes{};
    for (int i = 0; i < 16; ++i) bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(dtype::iq4_value(i));
    return bytes;
  }();
};

template <>
struct BlockWeights<dtype::Iq4_NL> : BlockTraits<32, 0, false, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return look_up(Iq4Table::kBytes.data(), field<kAt, HalvesField<18, 2>>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<18>(base); }
};

template <>
struct BlockWeights<dtype::Iq4_XS> : BlockTraits<32, 0, false, true> {
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return look_up(Iq4Table::kBytes.data(), field<kAt, HalvesField<16, 8>>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return iq4_xs_scales(base); }
};

template <>
struct BlockWeights<dtype::Mxfp4> : BlockTraits<32, 12> {
  struct Table {
    alignas(16) static constexpr std::array<uint8_t, 16> kBytes = [] {
      std::array<uint8_t, 16> bytes{};
      for (int i = 0; i < 16; ++i)
        bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(dtype::mxfp4_doubled_value(i) + 12);
      return bytes;
    }();
  };
  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
    return look_up(Table::kBytes.data(), field<kAt, HalvesField<17, 1>>(base));
  }
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return e8m0_half_scales(base, 17); }
};

/// The last weights of a row, fewer than 256, before zeros: scales of zero.
template <class Block>
struct PaddedWeights {
  HWY_INLINE PaddedWeights(const uint8_t* from, int64_t weights) {
    std::memcpy(bytes, from, static_cast<size_t>(weights / Block::kElements) * sizeof(Block));
  }
  uint8_t bytes[static_cast<size_t>(kSuperBytes<Block>)] = {};
};

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_BLOCK_WEIGHTS_INL_H_
