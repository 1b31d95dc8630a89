// FusedOp: an op that stands for several. Its unfused definition is the one truth: shape rule, cost and
// reference follow from it, and a device without a kernel for the fused op runs it instead.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace ingot::graph {

class FusedOp : public Op {
 public:
  /// Appends the unfused ops to `graph`. Returns the output and then each further result.
  virtual std::vector<Value> decompose(Graph& graph, std::span<const Value> inputs) const = 0;

  TensorType infer(std::span<const TensorType> inputs) const final;
  std::vector<Result> results(std::span<const TensorType> inputs) const final;
  /// The parts' arithmetic; inputs read once, outputs written once, nothing in between.
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const final;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const final;
  void reference_all(std::span<const Tensor> inputs, std::span<const Tensor> outputs) const final;

 protected:
  /// Inputs that the op needs; anything else is refused.
  virtual size_t input_count() const = 0;
};

/// The op as a fused one, or null.
const FusedOp* as_fused(const Op& op);

}  // namespace ingot::graph
