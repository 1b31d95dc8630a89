// Dot products of bytes: each 32-bit lane adds up the four products of the bytes it holds.
//
// Where the machine has an instruction for it (AVX512_VNNI, AVX_VNNI, Arm's dot product) kernels run as
// instances of their own: `kHasDot`, which with_int8_dot() chooses once a call. Highway 1.0.3 has no such
// target and compilers do not inline between functions of different targets, so the one instruction is
// written out. Integer sums are exact: both instances give the same bits for narrow weights.
//
// Weights come in two kinds. Narrow ones are unsigned, 0 … 127. Wide ones are signed, -128 … 127: the x86
// instructions want one operand unsigned, so dot_wide() gives the sum for weights + kWideOffset<kHasDot>, and
// its caller subtracts kWideOffset times the sum of the activations. Activations are signed, -127 … 127.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_INT8_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_INT8_DOT_INL_H_
#undef INGOT_CPU_INT8_DOT_INL_H_
#else
#define INGOT_CPU_INT8_DOT_INL_H_
#endif

#include <hwy/highway.h>

#include <type_traits>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/simd.h"

// Whether this target may have the instruction.
#undef INGOT_CPU_INT8_DOT
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)
#define INGOT_CPU_INT8_DOT 1
#else
#define INGOT_CPU_INT8_DOT 0
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

using I32 = hn::ScalableTag<int32_t>;
using VecI32 = hn::Vec<I32>;

#if HWY_TARGET == HWY_SCALAR
// One 32-bit lane, so four bytes.
struct VecU8 {
  uint8_t raw[4];
};
struct VecI8 {
  int8_t raw[4];
};
constexpr int kByteLanes = 4;

HWY_INLINE VecU8 load_u8(const void* from) {
  VecU8 bytes;
  std::memcpy(bytes.raw, from, 4);
  return bytes;
}
HWY_INLINE VecI8 load_i8(const void* from) {
  VecI8 bytes;
  std::memcpy(bytes.raw, from, 4);
  return bytes;
}
HWY_INLINE void store_u8(VecU8 bytes, void* to) {
  std::memcpy(to, bytes.raw, 4);
}
HWY_INLINE VecI8 as_signed(VecU8 bytes) {
  return __builtin_bit_cast(VecI8, bytes);
}
#else
using U8 = hn::ScalableTag<uint8_t>;
using I8 = hn::ScalableTag<int8_t>;
using VecU8 = hn::Vec<U8>;
using VecI8 = hn::Vec<I8>;
/// Bytes a vector, a constant: 16, 32 or 64.
constexpr int kByteLanes = static_cast<int>(hn::MaxLanes(U8()));

/// From memory of any alignment.
HWY_INLINE VecU8 load_u8(const void* from) {
  return hn::LoadU(U8(), static_cast<const uint8_t*>(from));
}
HWY_INLINE VecI8 load_i8(const void* from) {
  return hn::LoadU(I8(), static_cast<const int8_t*>(from));
}
HWY_INLINE void store_u8(VecU8 bytes, void* to) {
  hn::StoreU(bytes, U8(), static_cast<uint8_t*>(to));
}
HWY_INLINE VecI8 as_signed(VecU8 bytes) {
  return hn::BitCast(I8(), bytes);
}
#endif

/// What dot_wide() adds to every weight.
template <bool kHasDot>
constexpr int kWideOffset = kHasDot && (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2) ? 128 : 0;

namespace detail {

#if HWY_TARGET == HWY_AVX3

HWY_INLINE VecI32 dot_instruction(VecI32 sum, VecU8 w, VecI8 x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
  return sum;
}
// Sums of two products fit 16 bits: 2 * 128 * 127.
HWY_INLINE VecI32 dot_pairs(VecI32 sum, __m512i unsigned_w, __m512i x) {
  const __m512i pairs = _mm512_maddubs_epi16(unsigned_w, x);
  return VecI32{_mm512_add_epi32(sum.raw, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
}
HWY_INLINE VecI32 dot_signed(VecI32 sum, VecI8 w, VecI8 x) {
  const __mmask64 negative = _mm512_movepi8_mask(w.raw);
  const __m512i signed_x = _mm512_mask_sub_epi8(x.raw, negative, _mm512_setzero_si512(), x.raw);
  return dot_pairs(sum, _mm512_abs_epi8(w.raw), signed_x);
}
HWY_INLINE VecI32 dot_unsigned(VecI32 sum, VecU8 w, VecI8 x) {
  return dot_pairs(sum, w.raw, x.raw);
}

#elif HWY_TARGET == HWY_AVX2

HWY_INLINE VecI32 dot_instruction(VecI32 sum, VecU8 w, VecI8 x) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(w.raw), "x"(x.raw));
  return sum;
}
HWY_INLINE VecI32 dot_pairs(VecI32 sum, __m256i unsigned_w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(unsigned_w, x);
  return VecI32{_mm256_add_epi32(sum.raw, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
HWY_INLINE VecI32 dot_signed(VecI32 sum, VecI8 w, VecI8 x) {
  return dot_pairs(sum, _mm256_abs_epi8(w.raw), _mm256_sign_epi8(x.raw, w.raw));
}
HWY_INLINE VecI32 dot_unsigned(VecI32 sum, VecU8 w, VecI8 x) {
  return dot_pairs(sum, w.raw, x.raw);
}

#elif HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3

HWY_INLINE VecI32 dot_pairs(VecI32 sum, __m128i unsigned_w, __m128i x) {
  const __m128i pairs = _mm_maddubs_epi16(unsigned_w, x);
  return VecI32{_mm_add_epi32(sum.raw, _mm_madd_epi16(pairs, _mm_set1_epi16(1)))};
}
HWY_INLINE VecI32 dot_signed(VecI32 sum, VecI8 w, VecI8 x) {
  return dot_pairs(sum, _mm_abs_epi8(w.raw), _mm_sign_epi8(x.raw, w.raw));
}
HWY_INLINE VecI32 dot_unsigned(VecI32 sum, VecU8 w, VecI8 x) {
  return dot_pairs(sum, w.raw, x.raw);
}

#elif HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64

// Narrow weights are the same bits as signed bytes.
HWY_INLINE VecI32 dot_instruction(VecI32 sum, VecI8 w, VecI8 x) {
  __asm__(".arch_extension dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(sum.raw) : "w"(w.raw), "w"(x.raw));
  return sum;
}
HWY_INLINE VecI32 dot_signed(VecI32 sum, VecI8 w, VecI8 x) {
  const int16x8_t low = vmull_s8(vget_low_s8(w.raw), vget_low_s8(x.raw));
  const int16x8_t high = vmull_high_s8(w.raw, x.raw);
  return VecI32{vpadalq_s16(sum.raw, vpaddq_s16(low, high))};  // sums of two fit: 2 * 128 * 127
}
HWY_INLINE VecI32 dot_unsigned(VecI32 sum, VecU8 w, VecI8 x) {
  return dot_signed(sum, as_signed(w), x);
}

#else  // targets without vectors

template <class Weights>
HWY_INLINE VecI32 dot_bytes(VecI32 sum, const Weights& w, const VecI8& x) {
  HWY_ALIGN int32_t sums[hn::MaxLanes(I32())];
  hn::Store(sum, I32(), sums);
  for (int i = 0; i < kByteLanes; ++i) sums[i / 4] += int32_t{w.raw[i]} * x.raw[i];
  return hn::Load(I32(), sums);
}
HWY_INLINE VecI32 dot_signed(VecI32 sum, VecI8 w, VecI8 x) {
  return dot_bytes(sum, w, x);
}
HWY_INLINE VecI32 dot_unsigned(VecI32 sum, VecU8 w, VecI8 x) {
  return dot_bytes(sum, w, x);
}

#endif

}  // namespace detail

/// sum + w · x for weights 0 … 127.
template <bool kHasDot>
HWY_INLINE VecI32 dot_narrow(VecI32 sum, VecU8 w, VecI8 x) {
#if INGOT_CPU_INT8_DOT
  if constexpr (kHasDot) {
#if HWY_TARGET == HWY_NEON
    return detail::dot_instruction(sum, as_signed(w), x);
#else
    return detail::dot_instruction(sum, w, x);
#endif
  }
#endif
  return detail::dot_unsigned(sum, w, x);
}

/// sum + (w + kWideOffset<kHasDot>) · x for weights -128 … 127.
template <bool kHasDot>
HWY_INLINE VecI32 dot_wide(VecI32 sum, VecI8 w, VecI8 x) {
#if INGOT_CPU_INT8_DOT
  if constexpr (kHasDot) {
#if HWY_TARGET == HWY_NEON
    return detail::dot_instruction(sum, w, x);
#else
    const U8 d;
    return detail::dot_instruction(sum, hn::Xor(hn::BitCast(d, w), hn::Set(d, uint8_t{0x80})), x);
#endif
  }
#endif
  return detail::dot_signed(sum, w, x);
}

/// Calls f with std::true_type where the machine has the instruction, else with std::false_type: the argument
/// for kHasDot.
template <class F>
HWY_INLINE void with_int8_dot(F&& f) {
#if INGOT_CPU_INT8_DOT
  if (has_int8_dot()) {
    f(std::true_type());
    return;
  }
#endif
  f(std::false_type());
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_INT8_DOT_INL_H_
