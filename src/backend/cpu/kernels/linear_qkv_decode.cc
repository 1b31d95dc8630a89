// linear_qkv for generated tokens: one parallel loop over the query, key and value heads.
//
// A thread computes a head's outputs for all rows, normalises and rotates them, and, for keys and values,
// writes them into the cache, by the functions of the unfused ops: the same bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_qkv_decode.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/decode_products-inl.h"
#include "backend/cpu/kernels/decode_rows.h"
#include "backend/cpu/kernels/norm_rows-inl.h"
#include "backend/cpu/kernels/rope_rows-inl.h"
#include "graph/ops/linear_qkv.h"

#ifndef INGOT_CPU_LINEAR_QKV_DECODE_TYPES
#define INGOT_CPU_LINEAR_QKV_DECODE_TYPES
namespace ingot::cpu {

/// One head of a launch, for all rows.
struct DecodeHead {
  const DecodeRows& x;
  const LinearPart& part;
  int64_t first;  // output of the part
  int64_t head_dim;
  const void* next;  // weights that the thread will probably read after this head's
  float* out;        // row r at out + r * out_stride
  int64_t out_stride;
  const graph::Tensor* norm = nullptr;  // [head_dim]
  float norm_eps = 0;
  const graph::Tensor* table = nullptr;  // rope's, f32 [rows, rotary]
  graph::RopeStyle rope = graph::RopeStyle::half;
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

void decode_head(const DecodeHead& head) {
  decode_products(head.x, head.part, head.first, head.first + head.head_dim, head.out, head.out_stride,
                  head.next);
  for (int64_t r = 0; r < head.x.rows; ++r) {
    float* out = head.out + r * head.out_stride;
    if (head.norm != nullptr) {
      with_weight(*head.norm, [&](const auto* weight)
                                  HWY_ATTR { rms_norm_row(out, weight, out, head.head_dim, head.norm_eps); });
    }
    if (head.table != nullptr) {
      const int64_t pairs = head.table->shape[1] / 2;
      const float* cosine = head.table->f32() + r * 2 * pairs;
      if (head.rope == graph::RopeStyle::half) {
        rope_half_head(out, cosine, cosine + pairs, out, pairs);
      } else {
        rope_interleaved_head(out, cosine, cosine + pairs, out, pairs);
      }
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(decode_head);

namespace {

using graph::Tensor;

/// rows: f32 [slots, head_dim], into head `head` of a cache [pages, heads, page tokens, head_dim].
void write_cache(const float* rows, const Tensor& slots, int64_t head, const Tensor& cache) {
  const int64_t heads = cache.shape[1];
  const int64_t page_tokens = cache.shape[2];
  const int64_t head_dim = cache.shape[3];
  for (int64_t r = 0; r < slots.shape[0]; ++r) {
    const int64_t slot = slots.i32()[r];
    INGOT_CHECK(slot >= 0 && slot < cache.shape[0] * page_tokens, "linear_qkv: slot {}", slot);
    const int64_t row = (slot / page_tokens * heads + head) * page_tokens + slot % page_tokens;
    std::memcpy(cache.as<float>() + row * head_dim, rows + r * head_dim,
                static_cast<size_t>(head_dim) * sizeof(float));
  }
}

/// The heads of a launch in the order of a joint weight: queries, keys, values.
struct Heads {
  explicit Heads(const backend::Launch& launch)
      : form(static_cast<const graph::LinearQkvOp&>(*launch.op).form()),
        ends{form.heads, form.heads + form.kv_heads, form.heads + 2 * form.kv_heads} {
    const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
    for (size_t i = 0; i < form.parts(); ++i) {
      parts[i] = {.weight = input(form.weight_input(i)),
                  .bias = form.has_bias ? input(form.bias_input(i)) : nullptr,
                  .out_in = form.order == graph::WeightOrder::out_in};
    }
  }
  int64_t count() const { return ends[2]; }
  int kind(int64_t h) const { return h < ends[0] ? 0 : h < ends[1] ? 1 : 2; }
  int64_t within_kind(int64_t h) const { return h < ends[0] ? h : h - ends[kind(h) - 1]; }
  const LinearPart& part(int64_t h) const { return parts[form.is_joint ? 0 : kind(h)]; }
  int64_t first_output(int64_t h) const { return (form.is_joint ? h : within_kind(h)) * form.head_dim; }
  /// Where a head's weights begin; null beyond the last.
  const void* weights(int64_t h) const { return h < count() ? part(h).row(first_output(h)) : nullptr; }

  const graph::QkvForm& form;
  int64_t ends[3];
  LinearPart parts[3];
};

}  // namespace

const void* qkv_first_weights(const backend::Backend& /*backend*/, const backend::Launch& launch,
                              int thread) {
  return Heads(launch).weights(thread);
}

size_t qkv_decode_workspace(const backend::Backend& /*backend*/, const backend::Launch& launch) {
  const auto& form = static_cast<const graph::LinearQkvOp&>(*launch.op).form();
  const Tensor& x = launch.inputs[0];
  const auto new_rows = static_cast<size_t>(x.shape[0] * 2 * form.kv_width()) * sizeof(float);
  return prepared_bytes(form.norm, x, has_blocks(launch.inputs)) + new_rows;
}

void launch_qkv_decode(backend::Backend& backend, const backend::Launch& launch) {
  const auto& form = static_cast<const graph::LinearQkvOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  const int64_t rows = launch.inputs[0].shape[0];
  if (rows == 0) return;
  ThreadPool& pool = pool_of(backend);
  const bool quantised = has_blocks(launch.inputs);
  std::byte* workspace = launch.workspace.data();
  const DecodeRows x = prepared_rows(pool, form.norm, launch.inputs, quantised, workspace);
  auto* new_rows = reinterpret_cast<float*>(  // [kv heads * 2, rows, head_dim]
      workspace + prepared_bytes(form.norm, launch.inputs[0], quantised));
  const Heads heads(launch);
  const auto run_head = HWY_DYNAMIC_DISPATCH(decode_head);
  const auto run_heads = [&](int64_t begin, int64_t end) {
    for (int64_t h = begin; h < end; ++h) {
      const int kind = heads.kind(h);
      const int64_t kv_head = h - form.heads;
      const bool is_query = kind == 0;
      DecodeHead head{.x = x,
                      .part = heads.part(h),
                      .first = heads.first_output(h),
                      .head_dim = form.head_dim,
                      .next = heads.weights(h + pool.threads()),
                      .out = is_query ? launch.output.as<float>() + h * form.head_dim
                                      : new_rows + kv_head * rows * form.head_dim,
                      .out_stride = is_query ? form.q_width() : form.head_dim};
      if (kind < 2 && form.head_norm_eps) {
        head.norm = input(form.head_norm_input() + kind);
        head.norm_eps = *form.head_norm_eps;
      }
      if (kind < 2 && form.rope) {
        head.table = input(form.table_input());
        head.rope = *form.rope;
      }
      run_head(head);
      if (!is_query) {
        write_cache(head.out, *input(form.slots_input()), heads.within_kind(h),
                    launch.results[static_cast<size_t>(kind - 1)]);
      }
    }
  };
  pool.parallel_for(heads.count(), 1, run_heads, [&](int thread) { prefetch_next_weights(backend, thread); });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
