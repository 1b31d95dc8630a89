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
#include "backend/cpu/kernels/block_prefill.h"
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
                   int64_t count, int64_t next_first, float* scratch) {
  multiply_block(job, tiles, part, first, count, next_first, scratch);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(tile_rows);
HWY_EXPORT(scale_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(prefill_block);

namespace {

/// What lies where in a job's memory.
struct Workspace {
  Workspace(int64_t rows, int64_t in, std::span<const PrefillPart> parts) {
    for (const PrefillPart& part : parts)
      (is_block_dtype(part.weight->dtype) ? has_blocks : has_values) = true;
    const int64_t padded = padded_rows(rows);
    value_tiles = 2 * padded;
    block_tiles = value_tiles + (has_values ? padded * in : 0);
    scratch = block_tiles + (has_blocks ? quantised_floats(padded, in) : 0);
    thread = std::max(has_values ? thread_floats(rows) : 0, has_blocks ? block_thread_floats(rows) : 0);
  }
  bool has_values = false;  // weights of single values, whose rows are f32
  bool has_blocks = false;
  // Floats: the rows' norm is at 0.
  int64_t value_tiles;
  int64_t block_tiles;
  int64_t scratch;
  int64_t thread;  // of scratch
};

/// Runs pack(tile, begin, end) for chunks of `depth` inputs of every tile.
template <class Pack>
void pack_tiles(ThreadPool& pool, const PrefillJob& job, int64_t depth, const Pack& pack) {
  const int64_t width = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t tiles = (job.rows + width - 1) / width;
  const int64_t chunks = (job.in + depth - 1) / depth;
  pool.parallel_for(tiles * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t k = i % chunks * depth;
      pack(i / chunks, k, std::min(job.in, k + depth));
    }
  });
}

}  // namespace

int64_t prefill_workspace_floats(int threads, int64_t rows, int64_t in, std::span<const PrefillPart> parts) {
  const Workspace workspace(rows, in, parts);
  return workspace.scratch + threads * workspace.thread;
}

void run_prefill(ThreadPool& pool, const PrefillJob& job) {
  if (job.rows == 0) return;
  const Workspace workspace(job.rows, job.in, job.parts);
  float* scales = job.workspace;
  float* tiles = job.workspace + workspace.value_tiles;
  float* block_tiles = job.workspace + workspace.block_tiles;

  if (job.norm.kind != graph::NormPrologue::Kind::none) {
    parallel_items(pool, job.rows, job.in, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(scale_rows)(job, scales, begin, end);
    });
  }
  if (workspace.has_values) {
    const auto pack = HWY_DYNAMIC_DISPATCH(pack_rows);
    pack_tiles(pool, job, kDepth,
               [&](int64_t tile, int64_t begin, int64_t end) { pack(job, scales, tile, begin, end, tiles); });
  }
  if (workspace.has_blocks) {
    pack_tiles(pool, job, kBlockDepth, [&](int64_t tile, int64_t begin, int64_t end) {
      quantise_prompt_rows(job, scales, tile, begin, end, block_tiles);
    });
  }

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
    const int64_t count = std::min(block, part->outputs - first);
    const int64_t next_first = first + pool.threads() * block;  // threads take blocks in turn
    float* own = job.workspace + workspace.scratch + thread * workspace.thread;
    if (is_block_dtype(part->weight->dtype) || (job.gated && is_block_dtype(part[1].weight->dtype))) {
      prefill_coded_block(job, tiles, block_tiles, *part, first, count, own);
    } else {
      run_block(job, tiles, *part, first, count, next_first, own);
    }
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

/// The parts of linear or of its fused forms, joined in `parts`.
std::span<const PrefillPart> parts_of(const Launch& launch,
                                      std::array<PrefillPart, kMaxPrefillParts>& parts) {
  if (const auto* linear = dynamic_cast<const graph::LinearOp*>(launch.op)) {
    parts[0] = part_of(launch.inputs[1], launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
                       linear->order(), launch.output);
    return {parts.data(), 1};
  }
  const LinearForm& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  for (size_t i = 0; i < form.parts.size(); ++i) {
    // A group's further parts are results; both parts of a gate share the output.
    const Tensor& output = i == 0 || form.gated ? launch.output : launch.results[i - 1];
    parts[i] =
        part_of(*input(form.weight_input(i)), form.parts[i].has_bias ? input(form.bias_input(i)) : nullptr,
                form.parts[i].order, output);
  }
  return {parts.data(), form.parts.size()};
}

}  // namespace

size_t linear_prefill_workspace(const Backend& backend, const Launch& launch) {
  const Shape& x = launch.inputs[0].shape;
  std::array<PrefillPart, kMaxPrefillParts> parts;
  return static_cast<size_t>(
             prefill_workspace_floats(backend.limits().threads, x[0], x[1], parts_of(launch, parts))) *
         sizeof(float);
}

void launch_linear_prefill(Backend& backend, const Launch& launch) {
  std::array<PrefillPart, kMaxPrefillParts> parts;
  run_prefill(pool_of(backend), {.x = launch.inputs[0].f32(),
                                 .rows = launch.inputs[0].shape[0],
                                 .in = launch.inputs[0].shape[1],
                                 .parts = parts_of(launch, parts),
                                 .workspace = reinterpret_cast<float*>(launch.workspace.data())});
}

void launch_fused_prefill(Backend& backend, const Launch& launch) {
  const LinearForm& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  std::array<PrefillPart, kMaxPrefillParts> parts;
  run_prefill(pool_of(backend),
              {.x = launch.inputs[0].f32(),
               .rows = launch.inputs[0].shape[0],
               .in = launch.inputs[0].shape[1],
               .norm = form.norm,
               .norm_parameters = launch.inputs.subspan(1, static_cast<size_t>(form.norm.inputs())),
               .parts = parts_of(launch, parts),
               .add = form.add ? input(form.add_input()) : nullptr,
               .activation = form.activation,
               .gated = form.gated,
               .residual = form.residual ? input(form.residual_input())->f32() : nullptr,
               .workspace = reinterpret_cast<float*>(launch.workspace.data())});
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
