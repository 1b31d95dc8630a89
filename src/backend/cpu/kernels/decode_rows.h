// The operands of decode's products, and the norm before them.
#pragma once

#include "backend/cpu/cpu_backend.h"
#include "graph/ops/norm_prologue.h"

namespace ingot::cpu {

/// The rows that are multiplied: f32 [rows, in].
struct DecodeRows {
  const float* data;
  int64_t rows;
  int64_t in;
};

/// One linear of a launch.
struct LinearPart {
  const graph::Tensor* weight = nullptr;  // [out, in] or [in, out]
  const graph::Tensor* bias = nullptr;    // [out] or null
  bool out_in = true;

  int64_t outputs() const { return weight->shape[out_in ? 0 : 1]; }
  /// Where the weights of an output begin; null where they do not lie together.
  const void* row(int64_t output) const {
    if (!out_in) return nullptr;
    return weight->as<const char>() + output * dtype_bytes(weight->dtype, weight->shape[1]);
  }
};

/// The rows of inputs[0], normalised into `workspace` (of their size) with the parameters that follow it.
/// Without a norm: the rows where they are.
DecodeRows normalised_rows(ThreadPool& pool, const graph::NormPrologue& norm,
                           std::span<const graph::Tensor> inputs, float* workspace);
/// Floats that it writes.
inline int64_t normalised_floats(const graph::NormPrologue& norm, const graph::Tensor& x) {
  return norm.kind == graph::NormPrologue::Kind::none ? 0 : x.elements();
}

}  // namespace ingot::cpu
