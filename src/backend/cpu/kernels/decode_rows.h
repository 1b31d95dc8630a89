// The operands of decode's products, and the norm before them.
#pragma once

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels/quantised_rows.h"
#include "graph/ops/norm_prologue.h"

namespace ingot::cpu {

/// The rows that are multiplied: f32 [rows, in], and the same as bytes where a weight is in blocks.
struct DecodeRows {
  const float* data;
  int64_t rows;
  int64_t in;
  const QuantisedBlock* quantised = nullptr;  // [rows, quantised_blocks(in)]

  /// `count` of the rows, from `first` on.
  DecodeRows some(int64_t first, int64_t count) const {
    return {.data = data + first * in,
            .rows = count,
            .in = in,
            .quantised = quantised == nullptr ? nullptr : quantised + first * quantised_blocks(in)};
  }
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

/// The rows of inputs[0] as a launch multiplies them: normalised with the parameters that follow, and, where
/// `quantised`, as bytes too. Both go into `workspace`; without a norm the rows stay where they are.
DecodeRows prepared_rows(ThreadPool& pool, const graph::NormPrologue& norm,
                         std::span<const graph::Tensor> inputs, bool quantised, std::byte* workspace);
/// Bytes of the workspace that it takes, a multiple of 64.
size_t prepared_bytes(const graph::NormPrologue& norm, const graph::Tensor& x, bool quantised);

/// Whether a weight among these inputs is in blocks.
bool has_blocks(std::span<const graph::Tensor> inputs);

}  // namespace ingot::cpu
