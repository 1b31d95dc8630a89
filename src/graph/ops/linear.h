// linear: out = x W^T + bias, the weights read in place in their own type, accumulated in f32.
#pragma once

#include <optional>

#include "graph/graph.h"

namespace ingot::graph {

/// How a checkpoint stores the weight of a linear.
enum class WeightOrder : uint8_t {
  out_in,  // [out, in]: torch.nn.Linear
  in_out,  // [in, out]: GPT-2's Conv1D
};

class LinearOp final : public Op {
 public:
  explicit LinearOp(WeightOrder order) : order_(order) {}
  WeightOrder order() const { return order_; }

  std::string_view name() const override { return "linear"; }
  std::string attributes() const override;
  TensorType infer(std::span<const TensorType> inputs) const override;
  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override;
  void reference(std::span<const Tensor> inputs, const Tensor& output) const override;

 private:
  WeightOrder order_;
};

/// x: f32 [T, in]; weight: f32/f16/bf16 in `order`; bias: [out] of a weight type. Returns f32 [T, out].
Value linear(Graph& graph, Value x, Value weight, std::optional<Value> bias = std::nullopt,
             WeightOrder order = WeightOrder::out_in, std::string label = {});

}  // namespace ingot::graph
