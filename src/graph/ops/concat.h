// concat: arrays joined along one axis.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

class ConcatOp final : public Op {
 public:
  explicit ConcatOp(int axis) : axis_(axis) {}
  int axis() const { return axis_; }
  std::string_view name() const override { return "concat"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  int axis_;
};

/// inputs: at least one, of one type and rank, equal in every dimension but `axis`.
Value concat(Graph& graph, std::vector<Value> inputs, int axis, std::string label = {});

}  // namespace ingot::graph
