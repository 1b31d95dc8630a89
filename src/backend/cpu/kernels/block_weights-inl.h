// Weights of the block formats as bytes and scales, straight from the stored blocks:
//
//     weight[k] = scale[k / group] * (byte[k] - kOffset)                  symmetric formats
//     weight[k] = scale[k / group] * byte[k] - min[k / group]             formats with minimums (kHasMins)
//
// Everything here is about 256 weights at a time, which begin at `base`, at any address: one block of a k
// format or eight of the formats of 32. No byte beyond them is read; the last weights of a row whose width is
// no multiple of 256 are copied before zeros (PaddedWeights).
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_BLOCK_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#undef INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#else
#define INGOT_CPU_BLOCK_WEIGHTS_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "backend/cpu/kernels/block_fields-inl.h"
#include "backend/cpu/kernels/block_scales-inl.h"
#include "dtype/formats.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// What the formats are: values<kAt>(base) is the bytes of weights kAt … kAt + kByteLanes, scales(base) the
/// scales and minimums of all groups. Wide: the bytes are signed, as_signed() of them (int8_dot-inl.h).
template <class Block>
struct BlockWeights;

template <class ValuesOf, int kGroupOf, int kOffsetOf, bool kHasMinsOf = false, bool kIsWideOf = false>
struct BlockTraits {
  using Values = ValuesOf;
  static constexpr int kGroup = kGroupOf;
  static constexpr int kOffset = kOffsetOf;
  static constexpr bool kHasMins = kHasMinsOf;
  static constexpr bool kIsWide = kIsWideOf;

  template <int kAt>
  static HWY_INLINE VecU8 values(const uint8_t* base) {
#if HWY_TARGET == HWY_SCALAR
    VecU8 bytes;
    for (int i = 0; i < kByteLanes; ++i) bytes.raw[i] = static_cast<uint8_t>(Values::one(base, kAt + i));
    return bytes;
#else
    return Values::template vector<kAt>(base);
#endif
  }
};

/// Bytes of 256 weights.
template <class Block>
constexpr int kSuperBytes = kSuper / Block::kElements * static_cast<int>(sizeof(Block));

template <>
struct BlockWeights<dtype::Q8_0> : BlockTraits<ByteField<34, 2>, 32, 0, false, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<34>(base); }
};

template <>
struct BlockWeights<dtype::Q4_0> : BlockTraits<HalvesField<18, 2>, 32, 8> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<18>(base); }
};

template <>
struct BlockWeights<dtype::Q4_1> : BlockTraits<HalvesField<20, 4>, 32, 0, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales_and_addends<20>(base); }
};

template <>
struct BlockWeights<dtype::Q5_0> : BlockTraits<Either<HalvesField<22, 6>, FifthBitField<22, 2>>, 32, 16> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<22>(base); }
};

template <>
struct BlockWeights<dtype::Q5_1>
    : BlockTraits<Either<HalvesField<24, 8>, FifthBitField<24, 4>>, 32, 0, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales_and_addends<24>(base); }
};

template <>
struct BlockWeights<dtype::Q2_K> : BlockTraits<TwoBitField<offsetof(dtype::Q2_K, qs), 0>, 16, 0, true> {
  static HWY_INLINE GroupScales<16> scales(const uint8_t* base) { return q2_k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q3_K>
    : BlockTraits<
          Either<TwoBitField<offsetof(dtype::Q3_K, qs), 0>, BitField<offsetof(dtype::Q3_K, hmask), 2>>, 16,
          4> {
  static HWY_INLINE GroupScales<16> scales(const uint8_t* base) { return q3_k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q4_K> : BlockTraits<PairsField<offsetof(dtype::Q4_K, qs)>, 32, 0, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q5_K>
    : BlockTraits<Either<PairsField<offsetof(dtype::Q5_K, qs)>, BitField<offsetof(dtype::Q5_K, qh), 4>>, 32,
                  0, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return k_scales(base); }
};

template <>
struct BlockWeights<dtype::Q6_K>
    : BlockTraits<
          Either<LongPairsField<offsetof(dtype::Q6_K, ql)>, TwoBitField<offsetof(dtype::Q6_K, qh), 4>>, 16,
          32> {
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
struct BlockWeights<dtype::Iq4_NL> : BlockTraits<LookedUp<Iq4Table, HalvesField<18, 2>>, 32, 0, false, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return f16_scales<18>(base); }
};

template <>
struct BlockWeights<dtype::Iq4_XS>
    : BlockTraits<LookedUp<Iq4Table, HalvesField<16, offsetof(dtype::Iq4_XS, qs)>>, 32, 0, false, true> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return iq4_xs_scales(base); }
};

/// Twice the values of mxfp4, raised to 0 … 24.
struct Mxfp4Table {
  static constexpr int kOffset = 12;
  alignas(16) static constexpr std::array<uint8_t, 16> kBytes = [] {
    std::array<uint8_t, 16> bytes{};
    for (int i = 0; i < 16; ++i)
      bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(dtype::mxfp4_doubled_value(i) + kOffset);
    return bytes;
  }();
};

template <>
struct BlockWeights<dtype::Mxfp4>
    : BlockTraits<LookedUp<Mxfp4Table, HalvesField<17, 1>>, 32, Mxfp4Table::kOffset> {
  static HWY_INLINE GroupScales<32> scales(const uint8_t* base) { return e8m0_half_scales(base, 17); }
};

/// The bytes of all 256 weights in order.
template <class Block, int kAt = 0>
HWY_INLINE void store_values(const uint8_t* base, uint8_t* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int k = 0; k < kSuper; ++k) to[k] = static_cast<uint8_t>(BlockWeights<Block>::Values::one(base, k));
#else
  store_u8(BlockWeights<Block>::template values<kAt>(base), to + kAt);
  if constexpr (kAt + kByteLanes < kSuper) store_values<Block, kAt + kByteLanes>(base, to);
#endif
}

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
