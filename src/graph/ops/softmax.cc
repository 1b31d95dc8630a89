#include "graph/ops/softmax.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "graph/ops/unary.h"

namespace ingot::graph {
namespace {

class SoftmaxOp final : public UnaryOp {
 public:
  std::string_view name() const override { return "softmax"; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    const TensorType out = UnaryOp::infer(inputs);
    if (out.rank() == 0) fail(ErrorCode::invalid_argument, "softmax: expected rank >= 1, found a scalar");
    return out;
  }

  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override {
    Cost cost = Op::cost(inputs, output);
    cost.flops = 12 * static_cast<double>(output.elements());
    return cost;
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const int64_t width = output.shape[-1];
    const int64_t rows = width == 0 ? 0 : output.elements() / width;
    for (int64_t r = 0; r < rows; ++r) {
      const float* x = inputs[0].f32() + r * width;
      float* out = output.as<float>() + r * width;
      const double max = *std::max_element(x, x + width);
      double sum = 0;
      for (int64_t i = 0; i < width; ++i) sum += std::exp(x[i] - max);
      for (int64_t i = 0; i < width; ++i) out[i] = static_cast<float>(std::exp(x[i] - max) / sum);
    }
  }
};

}  // namespace

Value softmax(Graph& graph, Value x, std::string label) {
  return graph.append(std::make_shared<SoftmaxOp>(), {x}, std::move(label));
}

}  // namespace ingot::graph
