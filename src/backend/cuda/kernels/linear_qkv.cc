// linear_qkv: the products of queries, keys and values as one linear of three parts, which the heads follow.
#include "graph/ops/linear_qkv.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_job.h"

namespace ingot::cuda {
namespace {

using backend::Backend;
using backend::Launch;
using RunJob = void (*)(Backend* backend, const LinearJob& job, Workspace& workspace);

struct QkvJob {
  LinearJob linear;   // of three parts, or of one with queries, keys and values side by side
  LinearHeads heads;  // reads what `linear` writes
};

/// Takes the workspace for the products; those of the queries may wait in the output.
QkvJob qkv_job(const Launch& launch, Workspace& workspace) {
  const graph::QkvForm& form = static_cast<const graph::LinearQkvOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  const int64_t rows = launch.inputs[0].shape[0];

  QkvJob qkv;
  LinearJob& job = qkv.linear;
  job.rows = rows_of(launch.inputs, form.norm);
  job.part_count = static_cast<int>(form.parts());
  LinearHeads& heads = qkv.heads;
  heads.rows = rows;
  heads.heads = form.heads;
  heads.kv_heads = form.kv_heads;
  heads.head_dim = form.head_dim;
  if (form.is_joint) {
    const int64_t width = form.q_width() + 2 * form.kv_width();
    auto* all = workspace.take<float>(rows * width);
    job.parts[0] = part_of(*input(form.weight_input(0)), form.has_bias ? input(form.bias_input(0)) : nullptr,
                           form.order, all);
    heads.q_stride = heads.k_stride = heads.v_stride = width;
    heads.q = all;
    if (all != nullptr) {
      heads.k = all + form.q_width();
      heads.v = heads.k + form.kv_width();
    }
  } else {
    // Queries wait in the output.
    auto* k = workspace.take<float>(rows * form.kv_width());
    auto* v = workspace.take<float>(rows * form.kv_width());
    float* outputs[3] = {launch.output.as<float>(), k, v};
    for (size_t i = 0; i < 3; ++i) {
      job.parts[i] = part_of(*input(form.weight_input(i)),
                             form.has_bias ? input(form.bias_input(i)) : nullptr, form.order, outputs[i]);
    }
    heads.q = outputs[0];
    heads.k = k;
    heads.v = v;
    heads.q_stride = form.q_width();
    heads.k_stride = heads.v_stride = form.kv_width();
  }

  if (form.head_norm_eps) {
    heads.q_norm = float_row(input(form.head_norm_input()));
    heads.k_norm = float_row(input(form.head_norm_input() + 1));
    heads.norm_eps = *form.head_norm_eps;
  }
  if (form.rope) {
    const graph::Tensor& table = *input(form.table_input());
    heads.table = table.f32();
    heads.pairs = table.shape[1] / 2;
    heads.is_interleaved = *form.rope == graph::RopeStyle::interleaved;
  }
  const graph::Tensor& keys = launch.results[0];
  heads.slots = input(form.slots_input())->i32();
  heads.q_out = launch.output.as<float>();
  heads.keys = keys.as<float>();
  heads.values = launch.results[1].as<float>();
  heads.pages = keys.shape[0];
  heads.page_tokens = keys.shape[2];
  return qkv;
}

/// Runs the job, or, without a backend, only takes the workspace.
void run_qkv(Backend* backend, const Launch& launch, Workspace& workspace, RunJob run_job) {
  QkvJob qkv = qkv_job(launch, workspace);
  qkv.linear.heads = &qkv.heads;
  run_job(backend, qkv.linear, workspace);
}

size_t workspace_of(const Launch& launch, RunJob run_job) {
  Workspace workspace(nullptr);
  run_qkv(nullptr, launch, workspace, run_job);
  return workspace.bytes();
}

void launch_with(Backend& backend, const Launch& launch, RunJob run_job) {
  Workspace workspace(launch.workspace.data());
  run_qkv(&backend, launch, workspace, run_job);
}

}  // namespace

size_t qkv_decode_workspace(const Backend& /*backend*/, const Launch& launch) {
  return workspace_of(launch, run_decode_job);
}
size_t qkv_prefill_workspace(const Backend& /*backend*/, const Launch& launch) {
  return workspace_of(launch, run_prefill_job);
}
void launch_qkv_decode(Backend& backend, const Launch& launch) {
  launch_with(backend, launch, run_decode_job);
}
void launch_qkv_prefill(Backend& backend, const Launch& launch) {
  launch_with(backend, launch, run_prefill_job);
}

}  // namespace ingot::cuda
