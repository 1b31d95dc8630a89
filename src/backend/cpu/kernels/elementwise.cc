// add, mul, gelu, silu: one pass over memory each.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/elementwise.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/gelu.h"

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

void silu(const float* x, float* out, int64_t elements) {
  unary(x, out, elements, Silu());
}
void gelu_erf(const float* x, float* out, int64_t elements) {
  unary(x, out, elements, GeluErf());
}
void gelu_tanh(const float* x, float* out, int64_t elements) {
  unary(x, out, elements, GeluTanh());
}

void add_f32(const float* a, const float* b, float* out, int64_t n) {
  binary(a, b, out, n, Add());
}
void add_f16(const float* a, const dtype::F16* b, float* out, int64_t n) {
  binary(a, b, out, n, Add());
}
void add_bf16(const float* a, const dtype::Bf16* b, float* out, int64_t n) {
  binary(a, b, out, n, Add());
}
void mul_f32(const float* a, const float* b, float* out, int64_t n) {
  binary(a, b, out, n, Mul());
}
void mul_f16(const float* a, const dtype::F16* b, float* out, int64_t n) {
  binary(a, b, out, n, Mul());
}
void mul_bf16(const float* a, const dtype::Bf16* b, float* out, int64_t n) {
  binary(a, b, out, n, Mul());
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(silu);
HWY_EXPORT(gelu_erf);
HWY_EXPORT(gelu_tanh);
HWY_EXPORT(add_f32);
HWY_EXPORT(add_f16);
HWY_EXPORT(add_bf16);
HWY_EXPORT(mul_f32);
HWY_EXPORT(mul_f16);
HWY_EXPORT(mul_bf16);

namespace {

using backend::Backend;
using backend::Launch;
using graph::Tensor;

using UnaryFn = void (*)(const float*, float*, int64_t);

void launch_unary(Backend& backend, const Launch& launch, UnaryFn f) {
  const float* x = launch.inputs[0].f32();
  auto* out = launch.output.as<float>();
  parallel_items(pool_of(backend), launch.output.elements(), 1,
                 [&](int64_t begin, int64_t end) { f(x + begin, out + begin, end - begin); });
}

/// Calls f(row offset in a, elements) for each copy of b along a.
template <typename W>
void launch_rows(Backend& backend, const Launch& launch, const W* b,
                 void (*f)(const float*, const W*, float*, int64_t)) {
  const float* a = launch.inputs[0].f32();
  auto* out = launch.output.as<float>();
  const int64_t width = launch.inputs[1].elements();
  const int64_t elements = launch.output.elements();
  if (width == elements) {
    parallel_items(pool_of(backend), elements, 1,
                   [&](int64_t begin, int64_t end) { f(a + begin, b + begin, out + begin, end - begin); });
  } else if (width > 0) {
    parallel_items(pool_of(backend), elements / width, width, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) f(a + row * width, b, out + row * width, width);
    });
  }
}

}  // namespace

void launch_silu(Backend& backend, const Launch& launch) {
  launch_unary(backend, launch, HWY_DYNAMIC_DISPATCH(silu));
}

void launch_gelu(Backend& backend, const Launch& launch) {
  const auto& op = static_cast<const graph::GeluOp&>(*launch.op);
  launch_unary(
      backend, launch,
      op.kind() == graph::GeluKind::erf ? HWY_DYNAMIC_DISPATCH(gelu_erf) : HWY_DYNAMIC_DISPATCH(gelu_tanh));
}

void launch_add(Backend& backend, const Launch& launch) {
  const Tensor& b = launch.inputs[1];
  switch (b.dtype) {
    case DType::f16:
      launch_rows(backend, launch, b.as<const dtype::F16>(), HWY_DYNAMIC_DISPATCH(add_f16));
      break;
    case DType::bf16:
      launch_rows(backend, launch, b.as<const dtype::Bf16>(), HWY_DYNAMIC_DISPATCH(add_bf16));
      break;
    default:
      launch_rows(backend, launch, b.as<const float>(), HWY_DYNAMIC_DISPATCH(add_f32));
      break;
  }
}

void launch_mul(Backend& backend, const Launch& launch) {
  const Tensor& b = launch.inputs[1];
  switch (b.dtype) {
    case DType::f16:
      launch_rows(backend, launch, b.as<const dtype::F16>(), HWY_DYNAMIC_DISPATCH(mul_f16));
      break;
    case DType::bf16:
      launch_rows(backend, launch, b.as<const dtype::Bf16>(), HWY_DYNAMIC_DISPATCH(mul_bf16));
      break;
    default:
      launch_rows(backend, launch, b.as<const float>(), HWY_DYNAMIC_DISPATCH(mul_f32));
      break;
  }
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
