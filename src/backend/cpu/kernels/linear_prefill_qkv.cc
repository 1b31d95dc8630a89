// linear_qkv for prompt tokens: the three products, then each row's heads take their norm, their rotary
// position and their place in the cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_prefill_qkv.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/linear_prefill.h"
#include "backend/cpu/kernels/norm_rows-inl.h"
#include "backend/cpu/kernels/rope_rows-inl.h"
#include "graph/ops/linear_qkv.h"

#ifndef INGOT_CPU_LINEAR_PREFILL_QKV_TYPES
#define INGOT_CPU_LINEAR_PREFILL_QKV_TYPES
namespace ingot::cpu {

/// The products of a step and where they go.
struct QkvPlaces {
  const graph::QkvForm& form;
  std::span<const graph::Tensor> inputs;  // of the op
  int64_t rows;
  float* q;        // f32 [rows, heads, head_dim], changed in place
  float* k;        // f32 [rows, kv_heads, head_dim], changed in place
  const float* v;  // f32 [rows, kv_heads, head_dim]
  const graph::Tensor& keys;
  const graph::Tensor& values;

  const graph::Tensor& input(int index) const { return inputs[static_cast<size_t>(index)]; }
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// Norm and rotary position of one row's heads, in place.
HWY_INLINE void place_heads(const QkvPlaces& places, int64_t row, float* x, int64_t heads, int norm_input) {
  const graph::QkvForm& form = places.form;
  const int64_t head_dim = form.head_dim;
  if (form.head_norm_eps) {
    with_weight(places.input(norm_input), [&](const auto* weight) HWY_ATTR {
      for (int64_t h = 0; h < heads; ++h)
        rms_norm_row(x + h * head_dim, weight, x + h * head_dim, head_dim, *form.head_norm_eps);
    });
  }
  if (!form.rope) return;
  const graph::Tensor& table = places.input(form.table_input());
  const int64_t pairs = table.shape[1] / 2;
  const float* cosine = table.f32() + row * 2 * pairs;
  for (int64_t h = 0; h < heads; ++h) {
    float* head = x + h * head_dim;
    if (*form.rope == graph::RopeStyle::half) {
      rope_half_head(head, cosine, cosine + pairs, head, pairs);
    } else {
      rope_interleaved_head(head, cosine, cosine + pairs, head, pairs);
    }
  }
}

/// One of `shares` parts of the work: a run of query rows, and the keys and values of every slot that is
/// `share` modulo `shares`, so that rows which share a slot (padding) are written by one thread in their
/// order.
void place_share(const QkvPlaces& places, int64_t share, int64_t shares) {
  const graph::QkvForm& form = places.form;
  for (int64_t row = places.rows * share / shares; row < places.rows * (share + 1) / shares; ++row)
    place_heads(places, row, places.q + row * form.q_width(), form.heads, form.head_norm_input());

  const int64_t head_dim = form.head_dim;
  const int64_t page_tokens = places.keys.shape[2];
  const int64_t slot_count = places.keys.shape[0] * page_tokens;
  const int32_t* slots = places.input(form.slots_input()).i32();
  for (int64_t row = 0; row < places.rows; ++row) {
    const int64_t slot = slots[row];
    INGOT_CHECK(slot >= 0 && slot < slot_count, "linear_qkv: slot {}", slot);
    if (slot % shares != share) continue;
    float* k = places.k + row * form.kv_width();
    const float* v = places.v + row * form.kv_width();
    place_heads(places, row, k, form.kv_heads, form.head_norm_input() + 1);
    for (int64_t h = 0; h < form.kv_heads; ++h) {
      const int64_t at =
          ((slot / page_tokens * form.kv_heads + h) * page_tokens + slot % page_tokens) * head_dim;
      std::copy_n(k + h * head_dim, head_dim, places.keys.as<float>() + at);
      std::copy_n(v + h * head_dim, head_dim, places.values.as<float>() + at);
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(place_share);

namespace {
const graph::QkvForm& form_of(const backend::Launch& launch) {
  return static_cast<const graph::LinearQkvOp&>(*launch.op).form();
}

/// The three products; k and v: f32 [rows, kv_width].
std::array<PrefillPart, 3> parts_of(const backend::Launch& launch, float* k, float* v) {
  const graph::QkvForm& form = form_of(launch);
  const int64_t widths[] = {form.q_width(), form.kv_width(), form.kv_width()};
  float* const outs[] = {launch.output.as<float>(), k, v};
  const bool out_in = form.order == graph::WeightOrder::out_in;
  std::array<PrefillPart, 3> parts;
  int64_t first = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t of = form.is_joint ? 0 : i;
    const graph::Tensor& weight = launch.inputs[static_cast<size_t>(form.weight_input(of))];
    parts[i] = {.weight = &weight,
                .bias = form.has_bias ? &launch.inputs[static_cast<size_t>(form.bias_input(of))] : nullptr,
                .out_in = out_in,
                .weight_outputs = weight.shape[out_in ? 0 : 1],
                .first_output = form.is_joint ? first : 0,
                .outputs = widths[i],
                .out = outs[i]};
    first += widths[i];
  }
  return parts;
}

}  // namespace

size_t qkv_prefill_workspace(const backend::Backend& backend, const backend::Launch& launch) {
  const Shape& x = launch.inputs[0].shape;
  const auto parts = parts_of(launch, nullptr, nullptr);
  const int64_t floats = prefill_workspace_floats(backend.limits().threads, x[0], x[1], parts);
  return static_cast<size_t>(floats + x[0] * 2 * form_of(launch).kv_width()) * sizeof(float);
}

void launch_qkv_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const graph::QkvForm& form = form_of(launch);
  ThreadPool& pool = pool_of(backend);
  const int64_t rows = launch.inputs[0].shape[0];
  const int64_t in = launch.inputs[0].shape[1];
  // Keys and values first: where the product's memory ends, its types decide.
  auto* k = reinterpret_cast<float*>(launch.workspace.data());
  float* v = k + rows * form.kv_width();
  float* workspace = v + rows * form.kv_width();
  const auto parts = parts_of(launch, k, v);
  run_prefill(pool, {.x = launch.inputs[0].f32(),
                     .rows = rows,
                     .in = in,
                     .norm = form.norm,
                     .norm_parameters = launch.inputs.subspan(1, static_cast<size_t>(form.norm.inputs())),
                     .parts = parts,
                     .workspace = workspace});

  const QkvPlaces places{.form = form,
                         .inputs = launch.inputs,
                         .rows = rows,
                         .q = launch.output.as<float>(),
                         .k = k,
                         .v = v,
                         .keys = launch.results[0],
                         .values = launch.results[1]};
  const int64_t most = rows * (form.q_width() + 2 * form.kv_width()) / kSerialElements;
  const int64_t shares = std::clamp<int64_t>(most, 1, int64_t{4} * pool.threads());
  const auto place = HWY_DYNAMIC_DISPATCH(place_share);
  pool.parallel_for(shares, 1, [&](int64_t begin, int64_t end) {
    for (int64_t share = begin; share < end; ++share) place(places, share, shares);
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
