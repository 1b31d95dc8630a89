// rms_norm and layer_norm of a row: one definition for the ops of their own and for the kernels that fuse
// them, so that both give the same bits.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_NORM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_NORM_ROWS_INL_H_
#undef INGOT_CPU_NORM_ROWS_INL_H_
#else
#define INGOT_CPU_NORM_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>

#include "backend/cpu/kernels/simd.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// Sum of f(x) over a row; the padding of the last vector is replaced by zero after f.
template <class F>
HWY_INLINE float sum_row(F32 d, const float* x, int64_t width, const F& f) {
  auto sum = hn::Zero(d);
  for_vectors(
      d, width, [&](int64_t i) HWY_ATTR { sum = hn::Add(sum, f(hn::LoadU(d, x + i))); },
      [&](int64_t i, size_t n) HWY_ATTR {
        sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, n), f(load_f32_tail(d, x + i, n))));
      });
  return sum_lanes(d, sum);
}

/// What a row is normalised with: (x - center) * scale. rms_norm has no center.
struct RowScale {
  float center = 0;
  float scale = 0;
};

HWY_INLINE RowScale rms_norm_scale(const float* x, int64_t width, float eps) {
  const F32 d;
  const float squares = sum_row(d, x, width, [](VecF32 v) HWY_ATTR { return hn::Mul(v, v); });
  return {.scale = 1.0F / std::sqrt(squares / static_cast<float>(width) + eps)};
}

HWY_INLINE RowScale layer_norm_scale(const float* x, int64_t width, float eps) {
  const F32 d;
  const auto n_inverse = 1.0F / static_cast<float>(width);
  const float mean = sum_row(d, x, width, [](VecF32 v) HWY_ATTR { return v; }) * n_inverse;
  const auto center = hn::Set(d, mean);
  const float squares = sum_row(d, x, width, [&](VecF32 v) HWY_ATTR {
    const auto off = hn::Sub(v, center);
    return hn::Mul(off, off);
  });
  return {.center = mean, .scale = 1.0F / std::sqrt(squares * n_inverse + eps)};
}

/// Any part of a row, given the whole row's scale.
template <typename W>
HWY_INLINE void rms_norm_apply(const float* x, RowScale row, const W* weight, float* out, int64_t width) {
  const F32 d;
  const auto scale = hn::Set(d, row.scale);
  for_vectors(
      d, width,
      [&](int64_t i) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scale), load_f32(d, weight + i)), d, out + i);
      },
      [&](int64_t i, size_t n) HWY_ATTR {
        const auto value =
            hn::Mul(hn::Mul(load_f32_tail(d, x + i, n), scale), load_f32_tail(d, weight + i, n));
        store_tail(d, value, out + i, n);
      });
}

template <typename W, typename B>
HWY_INLINE void layer_norm_apply(const float* x, RowScale row, const W* weight, const B* bias, float* out,
                                 int64_t width) {
  const F32 d;
  const auto center = hn::Set(d, row.center);
  const auto scale = hn::Set(d, row.scale);
  const auto apply = [&](VecF32 v, VecF32 w, VecF32 b)
                         HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, center), scale), w, b); };
  for_vectors(
      d, width,
      [&](int64_t i) HWY_ATTR {
        hn::StoreU(apply(hn::LoadU(d, x + i), load_f32(d, weight + i), load_f32(d, bias + i)), d, out + i);
      },
      [&](int64_t i, size_t n) HWY_ATTR {
        const auto value =
            apply(load_f32_tail(d, x + i, n), load_f32_tail(d, weight + i, n), load_f32_tail(d, bias + i, n));
        store_tail(d, value, out + i, n);
      });
}

template <typename W>
HWY_INLINE void rms_norm_row(const float* x, const W* weight, float* out, int64_t width, float eps) {
  rms_norm_apply(x, rms_norm_scale(x, width, eps), weight, out, width);
}

template <typename W, typename B>
HWY_INLINE void layer_norm_row(const float* x, const W* weight, const B* bias, float* out, int64_t width,
                               float eps) {
  layer_norm_apply(x, layer_norm_scale(x, width, eps), weight, bias, out, width);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_NORM_ROWS_INL_H_
