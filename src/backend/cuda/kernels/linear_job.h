// What the launchers of linears read from ops, and how they share out their workspace. Host only.
#pragma once

#include <array>

#include "backend/backend.h"
#include "backend/cuda/kernels/activation_rows.h"
#include "backend/cuda/kernels/linear_epilogue.h"
#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/norm_prologue.h"

namespace ingot::cuda {

static_assert(kMostLinearParts >= graph::LinearForm::kMaxParts);

/// One product of a launch.
struct LinearPart {
  const void* weight = nullptr;  // [outputs, in], or [in, outputs]
  DType dtype = DType::f32;
  bool is_in_out = false;
  int64_t outputs = 0;
  bool has_bias = false;
  FloatRow bias = {};
  float* output = nullptr;  // [rows, outputs]; of a gated pair both have the one output
};

/// A linear, fused or not, or the products of linear_qkv. Where only the workspace is wanted there are no
/// addresses yet: nothing that takes some of it may depend on them.
struct LinearJob {
  RowPreparation rows = {};  // what is multiplied, and its norm; nothing wanted yet
  std::array<LinearPart, kMostLinearParts> parts = {};
  int part_count = 0;
  bool has_add = false;
  bool has_residual = false;
  LinearEpilogue epilogue = {};
  const LinearHeads* heads = nullptr;  // of linear_qkv: what follows the products

  /// Products that end up in outputs of their own: one of a gated pair.
  int output_count() const { return epilogue.gated ? 1 : part_count; }
  /// Whether something follows the products beside a residual.
  bool has_epilogue(const LinearPart& part) const {
    return part.has_bias || has_add || epilogue.activation != LinearActivation::none || epilogue.gated;
  }
};

FloatRow float_row(const graph::Tensor* tensor);
/// The rows of inputs[0] with the norm whose parameters follow.
RowPreparation rows_of(std::span<const graph::Tensor> inputs, const graph::NormPrologue& norm);
LinearPart part_of(const graph::Tensor& weight, const graph::Tensor* bias, graph::WeightOrder order,
                   float* output);
/// The job of linear or of one of its fused forms.
LinearJob linear_job(const backend::Launch& launch);

/// Hands out pieces of a launch's workspace, or, without one, only counts their bytes.
class Workspace {
 public:
  explicit Workspace(std::byte* base) : base_(base) {}
  template <typename T>
  T* take(int64_t count) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + bytes_;
    bytes_ += static_cast<size_t>(round_up(count * static_cast<int64_t>(sizeof(T)), kAlignment));
    return reinterpret_cast<T*>(piece);
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kAlignment = 256;
  std::byte* base_;
  size_t bytes_ = 0;
};

/// Runs a job with the kernels of a step class; without a backend it only takes the workspace.
void run_decode_job(backend::Backend* backend, const LinearJob& job, Workspace& workspace);
void run_prefill_job(backend::Backend* backend, const LinearJob& job, Workspace& workspace);

}  // namespace ingot::cuda
