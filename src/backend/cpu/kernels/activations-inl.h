// The point-wise functions on vectors: one definition for the ops of their own and for the kernels that fuse
// them, so that both give the same bits.
//
// Included once per Highway target, after <hwy/highway.h> and its math-inl.h.
#if defined(INGOT_CPU_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_ACTIVATIONS_INL_H_
#undef INGOT_CPU_ACTIVATIONS_INL_H_
#else
#define INGOT_CPU_ACTIVATIONS_INL_H_
#endif

#include <hwy/highway.h>
// clang-format off
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

struct Add {
  HWY_INLINE VecF32 operator()(F32, VecF32 a, VecF32 b) const { return hn::Add(a, b); }
};
struct Mul {
  HWY_INLINE VecF32 operator()(F32, VecF32 a, VecF32 b) const { return hn::Mul(a, b); }
};

/// exp(x), infinite from 89 on. Highway's is defined up to 104 only and wraps around beyond.
HWY_INLINE VecF32 exp_of_any(F32 d, VecF32 x) {
  return hn::Exp(d, hn::Min(x, hn::Set(d, 104.0F)));
}

struct Silu {
  HWY_INLINE VecF32 operator()(F32 d, VecF32 x) const {
    return hn::Div(x, hn::Add(hn::Set(d, 1.0F), exp_of_any(d, hn::Neg(x))));
  }
};

// erf by Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7 for every x.
HWY_INLINE VecF32 erf(F32 d, VecF32 x) {
  const auto one = hn::Set(d, 1.0F);
  const auto magnitude = hn::Abs(x);
  const auto t = hn::Div(one, hn::MulAdd(magnitude, hn::Set(d, 0.3275911F), one));
  auto poly = hn::MulAdd(t, hn::Set(d, 1.061405429F), hn::Set(d, -1.453152027F));
  poly = hn::MulAdd(t, poly, hn::Set(d, 1.421413741F));
  poly = hn::MulAdd(t, poly, hn::Set(d, -0.284496736F));
  poly = hn::MulAdd(t, poly, hn::Set(d, 0.254829592F));
  const auto tail = hn::Mul(hn::Mul(poly, t), hn::Exp(d, hn::Neg(hn::Mul(x, x))));
  return hn::CopySign(hn::Sub(one, tail), x);
}

struct GeluErf {
  HWY_INLINE VecF32 operator()(F32 d, VecF32 x) const {
    const auto half = hn::Mul(x, hn::Set(d, 0.5F));
    return hn::MulAdd(half, erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752F))), half);
  }
};

struct GeluTanh {
  HWY_INLINE VecF32 operator()(F32 d, VecF32 x) const {
    // x/2 (1 + tanh u) = x sigmoid(2u), which needs one exp.
    const auto cube = hn::Mul(hn::Mul(x, x), x);
    const auto u = hn::MulAdd(cube, hn::Set(d, 0.044715F), x);
    const auto e = exp_of_any(d, hn::Mul(u, hn::Set(d, -1.5957691216057308F)));  // -2 sqrt(2 / pi)
    return hn::Div(x, hn::Add(hn::Set(d, 1.0F), e));
  }
};

template <class F>
void unary(const float* x, float* out, int64_t elements, const F& f) {
  const F32 d;
  for_vectors(
      d, elements, [&](int64_t i) HWY_ATTR { hn::StoreU(f(d, hn::LoadU(d, x + i)), d, out + i); },
      [&](int64_t i, size_t n) HWY_ATTR { store_tail(d, f(d, load_f32_tail(d, x + i, n)), out + i, n); });
}

template <class F, typename W>
void binary(const float* a, const W* b, float* out, int64_t elements, const F& f) {
  const F32 d;
  for_vectors(
      d, elements,
      [&](int64_t i) HWY_ATTR { hn::StoreU(f(d, hn::LoadU(d, a + i), load_f32(d, b + i)), d, out + i); },
      [&](int64_t i, size_t n) HWY_ATTR {
        store_tail(d, f(d, load_f32_tail(d, a + i, n), load_f32_tail(d, b + i, n)), out + i, n);
      });
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_ACTIVATIONS_INL_H_
