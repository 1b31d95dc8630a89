// The product behind linear, its fused forms and linear_qkv in prompt steps: one packing of the input rows,
// their norm in it, and one loop over the output blocks of every part.
//
// Owns nothing. One launch at a time runs on a pool; a job's parts and workspace live as long as the launch.
#pragma once

#include <span>

#include "backend/backend.h"
#include "base/thread_pool.h"
#include "graph/ops/activation.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/norm_prologue.h"

namespace ingot::cpu {

/// One product with the packed rows, or a run of outputs of a weight that holds several (joint QKV).
struct PrefillPart {
  const graph::Tensor* weight = nullptr;  // [weight_outputs, in] or [in, weight_outputs]
  const graph::Tensor* bias = nullptr;    // [weight_outputs] or null
  bool out_in = true;
  int64_t weight_outputs = 0;
  int64_t first_output = 0;  // the weight's output that is this part's first
  int64_t outputs = 0;
  float* out = nullptr;  // f32 [rows, outputs]
};

struct PrefillJob {
  const float* x = nullptr;  // f32 [rows, in]
  int64_t rows = 0;
  int64_t in = 0;
  graph::NormPrologue norm = {};
  std::span<const graph::Tensor> norm_parameters = {};  // weight, and for layer_norm bias

  std::span<const PrefillPart> parts = {};

  // Epilogues of a single output, in this order.
  const graph::Tensor* add = nullptr;  // [outputs] of a weight type, or f32 [rows, outputs]
  graph::Activation activation = graph::Activation::none;
  bool gated = false;               // two parts: activation(part 0) * part 1, to part 0's out
  const float* residual = nullptr;  // f32 [rows, outputs]; may be part 0's out

  float* workspace = nullptr;  // prefill_workspace_floats()

  /// Weights that a block of outputs multiplies with.
  int64_t segments() const { return gated ? 2 : 1; }
};

/// The most parts of a job: launches keep them on the stack.
inline constexpr size_t kMaxPrefillParts = graph::LinearForm::kMaxParts;

/// `parts`: the job's, of which only the weights' types are read.
int64_t prefill_workspace_floats(int threads, int64_t rows, int64_t in, std::span<const PrefillPart> parts);

/// Runs the job. Every part's output is that of the single ops in order, bit for bit.
void run_prefill(ThreadPool& pool, const PrefillJob& job);

}  // namespace ingot::cpu
