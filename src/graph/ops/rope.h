// rope: rotates pairs of dimensions of each head by the angles of a rope_table (RoFormer, Su et al., 2021).
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// Which dimensions form a pair.
enum class RopeStyle : uint8_t {
  half,         // (i, i + rotary/2): GPT-NeoX and Hugging Face's llama
  interleaved,  // (2i, 2i + 1): the paper, GPT-J
};

class RopeOp final : public Op {
 public:
  explicit RopeOp(RopeStyle style) : style_(style) {}
  RopeStyle style() const { return style_; }
  std::string_view name() const override { return "rope"; }
  std::string attributes() const override { return style_ == RopeStyle::half ? "half" : "interleaved"; }
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;
  bool in_place(int input) const override { return input == 0; }

 private:
  RopeStyle style_;
};

/// x: f32 [T, heads, head_dim]; table: f32 [T, rotary_dims], rotary_dims <= head_dim. Dimensions beyond
/// rotary_dims pass through.
Value rope(Graph& graph, Value x, Value table, RopeStyle style, std::string label = {});

}  // namespace ingot::graph
