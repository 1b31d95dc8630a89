#include "graph/ops/rms_norm.h"

#include <cmath>

#include "base/check.h"

namespace ingot::graph {

std::string RmsNormOp::attributes() const {
  return fmt::format("eps={}", eps_);
}

TensorType RmsNormOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 2, 2);
  expect_dtype(*this, "x", inputs[0], DType::f32);
  if (inputs[0].rank() == 0)
    fail(ErrorCode::invalid_argument, "rms_norm: expected x of rank >= 1, found a scalar");
  expect_rank(*this, "the weight", inputs[1], 1);
  expect_float(*this, "the weight", inputs[1]);
  expect_dim(*this, "the weight", inputs[1].dim(0), inputs[0].dim(-1));
  return inputs[0];
}

Cost RmsNormOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  cost.flops = 4 * static_cast<double>(output.elements());
  return cost;
}

void RmsNormOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const int64_t width = output.shape[-1];
  const int64_t rows = width == 0 ? 0 : output.elements() / width;
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = inputs[0].f32() + r * width;
    float* out = output.as<float>() + r * width;
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + eps_);
    for (int64_t i = 0; i < width; ++i) out[i] = static_cast<float>(x[i] * scale * inputs[1].at(i));
  }
}

Value rms_norm(Graph& graph, Value x, Value weight, float eps, std::string label) {
  return graph.append(std::make_shared<RmsNormOp>(eps), {x, weight}, std::move(label));
}

}  // namespace ingot::graph
