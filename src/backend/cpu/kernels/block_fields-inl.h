// The bytes of block formats: where bit fields lie in the stored blocks, and vectors of them in the order of
// the weights.
//
// A layout is written once, as places of runs of 16 weights in 256, from which every vector length takes its
// instructions: kByteLanes weights at a time (vector<kAt>), or one by one where there are no vectors (one).
// No byte beyond the 256 weights is read.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_BLOCK_FIELDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_FIELDS_INL_H_
#undef INGOT_CPU_BLOCK_FIELDS_INL_H_
#else
#define INGOT_CPU_BLOCK_FIELDS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>

#include "backend/cpu/kernels/int8_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

constexpr int kSuper = 256;  // weights at a time
constexpr int kF32Lanes = kByteLanes / 4;

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

/// A bit field of weights kAt …: as many as a vector has bytes.
template <class Field, int kAt>
HWY_INLINE VecU8 bit_field(const uint8_t* base) {
  constexpr int kFirst = kAt / 16;
  const VecU8 bytes = shift_runs<kFirst, Field>(load_runs<kFirst, Field>(base));
  if constexpr (Field::kMask == 0xff) return bytes;
  return hn::And(bytes, hn::Set(U8(), uint8_t{Field::kMask}));
}
#endif  // vectors

/// What can be done with a field whose places `Layout` says.
template <class Layout>
struct BitsOf {
#if HWY_TARGET != HWY_SCALAR
  template <int kAt>
  static HWY_INLINE VecU8 vector(const uint8_t* base) {
    return bit_field<Layout, kAt>(base);
  }
#endif
  static HWY_INLINE int one(const uint8_t* base, int k) {
    const Run run = Layout::run(k / 16);
    const int byte = base[run.offset + k % 16];
    return (run.shift < 0 ? byte << -run.shift : byte >> run.shift) & Layout::kMask;
  }
};

/// Blocks of 32 weights whose bytes follow each other: byte j from kQs on is value j.
template <int kStride, int kQs>
struct ByteField : BitsOf<ByteField<kStride, kQs>> {
  static constexpr uint8_t kMask = 0xff;
  static constexpr Run run(int r) { return {r / 2 * kStride + kQs + r % 2 * 16, 0}; }
};
/// Blocks of 32 weights: values 0-15 in the low halves of 16 bytes, values 16-31 in the high ones.
template <int kStride, int kQs>
struct HalvesField : BitsOf<HalvesField<kStride, kQs>> {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {r / 2 * kStride + kQs, r % 2 * 4}; }
};
/// 32 bytes hold two groups of 32 weights: the even one in the low halves, the odd one in the high.
template <int kQs>
struct PairsField : BitsOf<PairsField<kQs>> {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {kQs + r / 4 * 32 + r % 2 * 16, r / 2 % 2 * 4}; }
};
/// Bit g of byte i belongs to value i of group g; it is to become bit kTo.
template <int kQh, int kTo>
struct BitField : BitsOf<BitField<kQh, kTo>> {
  static constexpr uint8_t kMask = 1 << kTo;
  static constexpr Run run(int r) { return {kQh + r % 2 * 16, r / 2 - kTo}; }
};
/// 32 bytes hold two bits of each of 128 weights: group g of these in bits 2 * g; they are to become bits kTo
/// and kTo + 1.
template <int kQs, int kTo>
struct TwoBitField : BitsOf<TwoBitField<kQs, kTo>> {
  static constexpr uint8_t kMask = 3 << kTo;
  static constexpr Run run(int r) { return {kQs + r / 8 * 32 + r % 2 * 16, r % 8 / 2 * 2 - kTo}; }
};
/// 64 bytes hold the low four bits of 128 weights: values 0-63 in the low halves, 64-127 in the high.
template <int kQs>
struct LongPairsField : BitsOf<LongPairsField<kQs>> {
  static constexpr uint8_t kMask = 0xf;
  static constexpr Run run(int r) { return {kQs + r / 8 * 64 + r % 4 * 16, r % 8 / 4 * 4}; }
};

/// 0x10 for every weight whose bit is set, of the 32 that its block has at kQh.
template <int kStride, int kQh>
struct FifthBitField {
  static HWY_INLINE uint32_t bits_of(const uint8_t* base, int block) {
    uint32_t bits = 0;
    std::memcpy(&bits, base + block * kStride + kQh, 4);
    return bits;
  }
  static HWY_INLINE int one(const uint8_t* base, int k) {
    return static_cast<int>((bits_of(base, k / 32) >> (k % 32) & 1) << 4);
  }
#if HWY_TARGET != HWY_SCALAR
  template <int kAt>
  static HWY_INLINE VecU8 vector(const uint8_t* base) {
    constexpr int kBlock = kAt / 32;
    const uint32_t bits = bits_of(base, kBlock) >> (kAt % 32);
#if HWY_TARGET == HWY_AVX3
    const __mmask64 both = bits | static_cast<uint64_t>(bits_of(base, kBlock + 1)) << 32;
    return VecU8{_mm512_maskz_set1_epi8(both, 0x10)};
#else
    // Every byte gets the eight bits that its own is among.
    alignas(32) static constexpr uint8_t kSpread[32] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                                        2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
    alignas(16) static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                                      1, 2, 4, 8, 16, 32, 64, 128};
    const U8 d;
    const hn::Repartition<uint32_t, U8> d32;
    const auto spread = hn::TableLookupBytes(hn::BitCast(d, hn::Set(d32, bits)), hn::Load(d, kSpread));
    const auto own = hn::LoadDup128(d, kBits);
    const auto is_set = hn::VecFromMask(d, hn::Eq(hn::And(spread, own), own));
    return hn::And(is_set, hn::Set(d, uint8_t{0x10}));
#endif
  }
#endif
};

/// Both fields' bits.
template <class A, class B>
struct Either {
  static HWY_INLINE int one(const uint8_t* base, int k) { return A::one(base, k) | B::one(base, k); }
#if HWY_TARGET != HWY_SCALAR
  template <int kAt>
  static HWY_INLINE VecU8 vector(const uint8_t* base) {
    return hn::Or(A::template vector<kAt>(base), B::template vector<kAt>(base));
  }
#endif
};

/// The bytes of a table of 16 that a field is the indices of.
template <class Table, class Field>
struct LookedUp {
  static HWY_INLINE int one(const uint8_t* base, int k) {
    return Table::kBytes[static_cast<size_t>(Field::one(base, k))];
  }
#if HWY_TARGET != HWY_SCALAR
  template <int kAt>
  static HWY_INLINE VecU8 vector(const uint8_t* base) {
    return hn::TableLookupBytes(hn::LoadDup128(U8(), Table::kBytes.data()),
                                Field::template vector<kAt>(base));
  }
#endif
};

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_BLOCK_FIELDS_INL_H_
