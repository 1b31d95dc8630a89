// rms_norm, layer_norm, softmax: a reduction over each row, then a pass that writes it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/norm.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include <limits>

#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/decode_rows.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/norm_rows-inl.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/rms_norm.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void softmax_row(const float* x, float* out, int64_t width) {
  const F32 d;
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto maxima = lowest;
  for_vectors(
      d, width, [&](int64_t i) HWY_ATTR { maxima = hn::Max(maxima, hn::LoadU(d, x + i)); },
      [&](int64_t i, size_t n) HWY_ATTR {
        maxima = hn::Max(maxima, hn::IfThenElse(hn::FirstN(d, n), load_f32_tail(d, x + i, n), lowest));
      });
  const auto max = hn::Set(d, max_lanes(d, maxima));
  const auto exponential = [&](VecF32 v) HWY_ATTR { return hn::Exp(d, hn::Sub(v, max)); };
  const auto scale = hn::Set(d, 1.0F / sum_row(d, x, width, exponential));
  for_vectors(
      d, width,
      [&](int64_t i) HWY_ATTR { hn::StoreU(hn::Mul(exponential(hn::LoadU(d, x + i)), scale), d, out + i); },
      [&](int64_t i, size_t n)
          HWY_ATTR { store_tail(d, hn::Mul(exponential(load_f32_tail(d, x + i, n)), scale), out + i, n); });
}

void rms_norm_rows(const graph::Tensor& x, const graph::Tensor& weight, const graph::Tensor& out, float eps,
                   int64_t begin, int64_t end) {
  const int64_t width = out.shape[-1];
  with_weight(weight, [&](const auto* w) HWY_ATTR {
    for (int64_t r = begin; r < end; ++r) {
      rms_norm_row(x.f32() + r * width, w, out.as<float>() + r * width, width, eps);
    }
  });
}

void layer_norm_rows(const graph::Tensor& x, const graph::Tensor& weight, const graph::Tensor& bias,
                     const graph::Tensor& out, float eps, int64_t begin, int64_t end) {
  const int64_t width = out.shape[-1];
  with_weight(weight, [&](const auto* w) HWY_ATTR {
    with_weight(bias, [&](const auto* b) HWY_ATTR {
      for (int64_t r = begin; r < end; ++r) {
        layer_norm_row(x.f32() + r * width, w, b, out.as<float>() + r * width, width, eps);
      }
    });
  });
}

void softmax_rows(const float* x, float* out, int64_t width, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) softmax_row(x + r * width, out + r * width, width);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(softmax_rows);

namespace {
int64_t rows_of(const graph::Tensor& tensor) {
  return tensor.elements() == 0 ? 0 : tensor.elements() / tensor.shape[-1];
}
}  // namespace

void launch_rms_norm(backend::Backend& backend, const backend::Launch& launch) {
  const float eps = static_cast<const graph::RmsNormOp&>(*launch.op).eps();
  const graph::Tensor& out = launch.output;
  parallel_items(pool_of(backend), rows_of(out), out.shape[-1], [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_rows)(launch.inputs[0], launch.inputs[1], out, eps, begin, end);
  });
}

void launch_layer_norm(backend::Backend& backend, const backend::Launch& launch) {
  const float eps = static_cast<const graph::LayerNormOp&>(*launch.op).eps();
  const graph::Tensor& out = launch.output;
  parallel_items(pool_of(backend), rows_of(out), out.shape[-1], [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)
    (launch.inputs[0], launch.inputs[1], launch.inputs[2], out, eps, begin, end);
  });
}

namespace {

/// Bytes of the normalised rows, whole cache lines, so that what follows them begins at one.
size_t normalised_bytes(const graph::NormPrologue& norm, const graph::Tensor& x) {
  if (norm.kind == graph::NormPrologue::Kind::none) return 0;
  return (static_cast<size_t>(x.elements()) * sizeof(float) + 63) / 64 * 64;
}

}  // namespace

size_t prepared_bytes(const graph::NormPrologue& norm, const graph::Tensor& x, bool quantised) {
  return normalised_bytes(norm, x) + (quantised ? quantised_bytes(x.shape[0], x.shape[1]) : 0);
}

bool has_blocks(std::span<const graph::Tensor> inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const graph::Tensor& tensor) { return is_block_dtype(tensor.dtype); });
}

DecodeRows prepared_rows(ThreadPool& pool, const graph::NormPrologue& norm,
                         std::span<const graph::Tensor> inputs, bool quantised, std::byte* workspace) {
  const graph::Tensor& x = inputs[0];
  DecodeRows rows{.data = x.f32(), .rows = x.shape[0], .in = x.shape[1]};
  if (norm.kind != graph::NormPrologue::Kind::none) {
    rows.data = reinterpret_cast<float*>(workspace);
    const graph::Tensor out{.data = workspace, .dtype = DType::f32, .shape = x.shape};
    const bool is_rms = norm.kind == graph::NormPrologue::Kind::rms;
    parallel_items(pool, rows.rows, rows.in, [&](int64_t begin, int64_t end) {
      if (is_rms) {
        HWY_DYNAMIC_DISPATCH(rms_norm_rows)(x, inputs[1], out, norm.eps, begin, end);
      } else {
        HWY_DYNAMIC_DISPATCH(layer_norm_rows)(x, inputs[1], inputs[2], out, norm.eps, begin, end);
      }
    });
  }
  if (quantised) {
    auto* blocks = reinterpret_cast<QuantisedBlock*>(workspace + normalised_bytes(norm, x));
    quantise_rows(pool, rows.data, rows.rows, rows.in, blocks);
    rows.quantised = blocks;
  }
  return rows;
}

void launch_softmax(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& out = launch.output;
  parallel_items(pool_of(backend), rows_of(out), out.shape[-1], [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(softmax_rows)(launch.inputs[0].f32(), out.as<float>(), out.shape[-1], begin, end);
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
