// rope of a head: one definition for the op of its own and for the kernels that fuse it, so that both give
// the same bits.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_ROPE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_ROPE_ROWS_INL_H_
#undef INGOT_CPU_ROPE_ROWS_INL_H_
#else
#define INGOT_CPU_ROPE_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

struct Pair {
  VecF32 a;
  VecF32 b;
};

HWY_INLINE Pair rotate(VecF32 a, VecF32 b, VecF32 cosine, VecF32 sine) {
  return {hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), hn::MulAdd(a, sine, hn::Mul(b, cosine))};
}

/// One head; the pairs are (i, i + pairs).
HWY_INLINE void rope_half_head(const float* x, const float* cosine, const float* sine, float* out,
                               int64_t pairs) {
  const F32 d;
  for_vectors(
      d, pairs,
      [&](int64_t i) HWY_ATTR {
        const Pair r = rotate(hn::LoadU(d, x + i), hn::LoadU(d, x + pairs + i), hn::LoadU(d, cosine + i),
                              hn::LoadU(d, sine + i));
        hn::StoreU(r.a, d, out + i);
        hn::StoreU(r.b, d, out + pairs + i);
      },
      [&](int64_t i, size_t n) HWY_ATTR {
        const Pair r = rotate(load_f32_tail(d, x + i, n), load_f32_tail(d, x + pairs + i, n),
                              load_f32_tail(d, cosine + i, n), load_f32_tail(d, sine + i, n));
        store_tail(d, r.a, out + i, n);
        store_tail(d, r.b, out + pairs + i, n);
      });
}

/// One head; the pairs are (2i, 2i + 1).
HWY_INLINE void rope_interleaved_head(const float* x, const float* cosine, const float* sine, float* out,
                                      int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    out[2 * i] = a * cosine[i] - b * sine[i];
    out[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_ROPE_ROWS_INL_H_
