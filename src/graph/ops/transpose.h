// transpose: axes in another order.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

class TransposeOp final : public Op {
 public:
  explicit TransposeOp(std::vector<int> order) : order_(std::move(order)) {}
  std::span<const int> order() const { return order_; }
  std::string_view name() const override { return "transpose"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  std::vector<int> order_;
};

/// x: any type; order: a permutation of 0 … rank-1; axis i of the result is axis order[i] of x.
Value transpose(Graph& graph, Value x, std::vector<int> order, std::string label = {});

}  // namespace ingot::graph
