// slice: the range [begin, end) of one axis.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

class SliceOp final : public Op {
 public:
  SliceOp(int axis, int64_t begin, int64_t end) : axis_(axis), begin_(begin), end_(end) {}
  int axis() const { return axis_; }
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  std::string_view name() const override { return "slice"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  int axis_;
  int64_t begin_;
  int64_t end_;
};

/// x: any type; axis: 0 … rank-1, of static extent; 0 <= begin <= end <= extent.
Value slice(Graph& graph, Value x, int axis, int64_t begin, int64_t end, std::string label = {});

}  // namespace ingot::graph
