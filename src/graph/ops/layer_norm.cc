#include "graph/ops/layer_norm.h"

#include <cmath>

#include "base/check.h"

namespace ingot::graph {

std::string LayerNormOp::attributes() const {
  return fmt::format("eps={}", eps_);
}

TensorType LayerNormOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 3, 3);
  expect_dtype(*this, "x", inputs[0], DType::f32);
  if (inputs[0].rank() == 0)
    fail(ErrorCode::invalid_argument, "layer_norm: expected x of rank >= 1, found a scalar");
  for (size_t i = 1; i < 3; ++i) {
    const std::string_view what = i == 1 ? "the weight" : "the bias";
    expect_rank(*this, what, inputs[i], 1);
    expect_float(*this, what, inputs[i]);
    expect_dim(*this, what, inputs[i].dim(0), inputs[0].dim(-1));
  }
  return inputs[0];
}

Cost LayerNormOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  cost.flops = 8 * static_cast<double>(output.elements());
  return cost;
}

void LayerNormOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const int64_t width = output.shape[-1];
  const int64_t rows = width == 0 ? 0 : output.elements() / width;
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = inputs[0].f32() + r * width;
    float* out = output.as<float>() + r * width;
    double mean = 0;
    for (int64_t i = 0; i < width; ++i) mean += x[i];
    mean /= static_cast<double>(width);
    double variance = 0;
    for (int64_t i = 0; i < width; ++i) variance += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / std::sqrt(variance / static_cast<double>(width) + eps_);
    for (int64_t i = 0; i < width; ++i) {
      out[i] = static_cast<float>((x[i] - mean) * scale * inputs[1].at(i) + inputs[2].at(i));
    }
  }
}

Value layer_norm(Graph& graph, Value x, Value weight, Value bias, float eps, std::string label) {
  return graph.append(std::make_shared<LayerNormOp>(eps), {x, weight, bias}, std::move(label));
}

}  // namespace ingot::graph
