// add, mul, gelu, silu: one pass over memory each.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/elementwise.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/activations-inl.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/gelu.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

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
