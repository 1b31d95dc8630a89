#include "graph/ops/gelu.h"

#include <cmath>
#include <numbers>

namespace ingot::graph {

Cost GeluOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  cost.flops = 20 * static_cast<double>(output.elements());  // about what a polynomial erf or tanh takes
  return cost;
}

void GeluOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  for (int64_t i = 0; i < output.elements(); ++i) {
    const double x = inputs[0].f32()[i];
    const double inner = kind_ == GeluKind::erf
                             ? std::erf(x / std::numbers::sqrt2)
                             : std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x));
    output.as<float>()[i] = static_cast<float>(0.5 * x * (1 + inner));
  }
}

Value gelu(Graph& graph, Value x, GeluKind kind, std::string label) {
  return graph.append(std::make_shared<GeluOp>(kind), {x}, std::move(label));
}

}  // namespace ingot::graph
