// rms_norm: x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, 2019).
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

class RmsNormOp final : public Op {
 public:
  explicit RmsNormOp(float eps) : eps_(eps) {}
  float eps() const { return eps_; }
  std::string_view name() const override { return "rms_norm"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;
  bool in_place(int input) const override { return input == 0; }

 private:
  float eps_;
};

/// x: f32 [..., width]; weight: [width] of a weight type.
Value rms_norm(Graph& graph, Value x, Value weight, float eps, std::string label = {});

}  // namespace ingot::graph
