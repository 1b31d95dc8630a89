// linear and its fused forms for prompt tokens (many rows): bound by multiply-adds.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_prefill.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels/linear_prefill.h"

#include <array>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/linear_prefill-inl.h"
#include "graph/ops/linear_fused.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

int64_t tile_rows() {
  return rows_of_tile();
}

/// scales: [rows] of RowScale
void scale_rows(const PrefillJob& job, float* scales, int64_t begin, int64_t end) {
  auto* to = reinterpret_cast<RowScale*>(scales);
  for (int64_t row = begin; row < end; ++row) {
    const float* x = job.x + row * job.in;
    to[row] = job.norm.kind == graph::NormPrologue::Kind::rms ? rms_norm_scale(x, job.in, job.norm.eps)
                                                              : layer_norm_scale(x, job.in, job.norm.eps);
  }
}

void pack_rows(const PrefillJob& job, const float* scales, int64_t tile, int64_t begin, int64_t end,
               float* tiles) {
  pack_tile(job, reinterpret_cast<const RowScale*>(scales), tile, begin, end, tiles);
}

void prefill_block(const PrefillJob& job, const float* tiles, const PrefillPart& part, int64_t first,
                   int64_t count, float* scratch) {
  multiply_block(job, tiles, part, first, count, scratch);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(tile_rows);
HWY_EXPORT(scale_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(prefill_block);

int64_t prefill_workspace_floats(int threads, int64_t rows, int64_t in) {
  // The rows' norm, the tiles, and what each thread needs.
  return padded_rows(rows) * (2 + in) + threads * thread_floats(rows);
}

void run_prefill(ThreadPool& pool, const PrefillJob& job) {
  if (job.rows == 0) return;
  float* scales = job.workspace;
  float* tiles = scales + 2 * padded_rows(job.rows);
  float* scratch = tiles + padded_rows(job.rows) * job.in;

  if (job.norm.kind != graph::NormPrologue::Kind::none) {
    parallel_items(pool, job.rows, job.in, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(scale_rows)(job, scales, begin, end);
    });
  }

  // Transposing the rows: chunks of inputs of every tile.
  const int64_t width = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t tile_count = (job.rows + width - 1) / width;
  const int64_t chunks = (job.in + kDepth - 1) / kDepth;
  const auto pack = HWY_DYNAMIC_DISPATCH(pack_rows);
  pool.parallel_for(tile_count * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = i % chunks * kDepth;
      pack(job, scales, i / chunks, k, std::min(job.in, k + kDepth), tiles);
    }
  });

  // Smaller blocks for narrow outputs, so that every thread gets a few.
  const std::span<const PrefillPart> parts = job.gated ? job.parts.first(1) : job.parts;
  int64_t outputs = 0;
  for (const PrefillPart& part : parts) outputs += part.outputs;
  const int64_t share = outputs / (int64_t{4} * pool.threads()) / kOutputStep * kOutputStep;
  const int64_t block = std::clamp(share, kOutputStep, kBlockOutputs / job.segments());
  const auto run_block = HWY_DYNAMIC_DISPATCH(prefill_block);
  const auto blocks_of = [&](const PrefillPart& part) { return (part.outputs + block - 1) / block; };
  int64_t blocks = 0;  // of all parts, one after the other
  for (const PrefillPart& part : parts) blocks += blocks_of(part);
  pool.parallel_for(blocks, 1, [&](int thread, int64_t number, int64_t /*end*/) {
    const PrefillPart* part = parts.data();
    for (; number >= blocks_of(*part); ++part) number -= blocks_of(*part);
    const int64_t first = number * block;
    run_block(job, tiles, *part, first, std::min(block, part->outputs - first),
              scratch + thread * thread_floats(job.rows));
  });
}

namespace {

using backend::Backend;
using backend::Launch;
using graph::LinearForm;
using graph::Tensor;

PrefillPart part_of(const Tensor& weight, const Tensor* bias, graph::WeightOrder order,
                    const Tensor& output) {
  const int64_t outputs = output.shape[1];
  return {.weight = &weight,
          .bias = bias,
          .out_in = order == graph::WeightOrder::out_in,
          .weight_outputs = outputs,
          .first_output = 0,
          .outputs = outputs,
          .out = output.as<float>()};
}

}  // namespace

size_t linear_prefill_workspace(const Backend& backend, const Launch& launch) {
  const Shape& x = launch.inputs[0].shape;
  return static_cast<size_t>(prefill_workspace_floats(backend.limits().threads, x[0], x[1])) * sizeof(float);
}

void launch_linear_prefill(Backend& backend, const Launch& launch) {
  const PrefillPart part = part_of(launch.inputs[1], launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
                                   static_cast<const graph::LinearOp&>(*launch.op).order(), launch.output);
  run_prefill(pool_of(backend), {.x = launch.inputs[0].f32(),
                                 .rows = launch.inputs[0].shape[0],
                                 .in = launch.inputs[0].shape[1],
                                 .parts = {&part, 1},
                                 .workspace = reinterpret_cast<float*>(launch.workspace.data())});
}

void launch_fused_prefill(Backend& backend, const Launch& launch) {
  const LinearForm& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  std::array<PrefillPart, kMaxPrefillParts> parts;
  for (size_t i = 0; i < form.parts.size(); ++i) {
    // A group's further parts are results; both parts of a gate share the output.
    const Tensor& output = i == 0 || form.gated ? launch.output : launch.results[i - 1];
    parts[i] =
        part_of(*input(form.weight_input(i)), form.parts[i].has_bias ? input(form.bias_input(i)) : nullptr,
                form.parts[i].order, output);
  }
  run_prefill(pool_of(backend),
              {.x = launch.inputs[0].f32(),
               .rows = launch.inputs[0].shape[0],
               .in = launch.inputs[0].shape[1],
               .norm = form.norm,
               .norm_parameters = launch.inputs.subspan(1, static_cast<size_t>(form.norm.inputs())),
               .parts = {parts.data(), form.parts.size()},
               .add = form.add ? input(form.add_input()) : nullptr,
               .activation = form.activation,
               .gated = form.gated,
               .residual = form.residual ? input(form.residual_input())->f32() : nullptr,
               .workspace = reinterpret_cast<float*>(launch.workspace.data())});
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
