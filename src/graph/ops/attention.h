// attention: causal softmax(q k^T * scale) v over the paged KV cache, for ragged rows of several sequences.
//
// Grouped-query: kv_heads divides heads, query head h reads key head h / (heads / kv_heads). With a sliding
// window of w, a query at position p sees positions p-w+1 … p (Mistral, Jiang et al., 2023).
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// The step inputs that attention needs, shared by all layers.
struct AttentionInputs {
  Value seq_start;    // i32 [S+1]: rows seq_start[s] … seq_start[s+1]-1 belong to sequence s
  Value context_len;  // i32 [S]: tokens of the sequence in the cache, this step's included
  Value block_table;  // i32 [S, P]: the sequence's pages, in order
};

class AttentionOp final : public Op {
 public:
  AttentionOp(float scale, int64_t window) : scale_(scale), window_(window) {}
  float scale() const { return scale_; }
  /// Positions that a query sees, itself included; 0: all.
  int64_t window() const { return window_; }
  std::string_view name() const override { return "attention"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  float scale_;
  int64_t window_;
};

/// q: f32 [T, heads, head_dim]; keys, values: f32 [C, kv_heads, page_tokens, head_dim] after kv_write.
/// Returns f32 [T, heads, head_dim]; rows of no sequence are zero.
Value attention(Graph& graph, Value q, Value keys, Value values, const AttentionInputs& step, float scale,
                int64_t window, std::string label = {});

}  // namespace ingot::graph
