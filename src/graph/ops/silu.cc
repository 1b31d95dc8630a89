#include "graph/ops/silu.h"

#include <cmath>

#include "graph/ops/unary.h"

namespace ingot::graph {
namespace {

class SiluOp final : public UnaryOp {
 public:
  std::string_view name() const override { return "silu"; }

  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override {
    Cost cost = Op::cost(inputs, output);
    cost.flops = 12 * static_cast<double>(output.elements());  // about what a polynomial exp takes
    return cost;
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    for (int64_t i = 0; i < output.elements(); ++i) {
      const double x = inputs[0].f32()[i];
      output.as<float>()[i] = static_cast<float>(x / (1 + std::exp(-x)));
    }
  }
};

}  // namespace

Value silu(Graph& graph, Value x, std::string label) {
  return graph.append(std::make_shared<SiluOp>(), {x}, std::move(label));
}

}  // namespace ingot::graph
