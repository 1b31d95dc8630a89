// layer_norm: (x - mean) / sqrt(variance + eps) * weight + bias over the last axis (Ba et al., 2016).
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

class LayerNormOp final : public Op {
 public:
  explicit LayerNormOp(float eps) : eps_(eps) {}
  float eps() const { return eps_; }
  std::string_view name() const override { return "layer_norm"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;
  bool in_place(int input) const override { return input == 0; }

 private:
  float eps_;
};

/// x: f32 [..., width]; weight and bias: [width] of a weight type. The variance is the biased one.
Value layer_norm(Graph& graph, Value x, Value weight, Value bias, float eps, std::string label = {});

}  // namespace ingot::graph
