#include "graph/ops/linear.h"

#include "base/check.h"

namespace ingot::graph {

std::string LinearOp::attributes() const {
  return order_ == WeightOrder::in_out ? "weight=in_out" : "";
}

TensorType LinearOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 2, 3);
  expect_rank(*this, "x", inputs[0], 2);
  expect_dtype(*this, "x", inputs[0], DType::f32);
  expect_rank(*this, "the weight", inputs[1], 2);
  expect_weight(*this, "the weight", inputs[1]);
  const bool out_in = order_ == WeightOrder::out_in;
  if (!out_in && is_block_dtype(inputs[1].dtype)) {
    fail(ErrorCode::invalid_argument, "linear: expected a weight of blocks in the order [out, in], found {}",
         to_string(inputs[1]));
  }
  const Dim out = inputs[1].dim(out_in ? 0 : 1);
  expect_dim(*this, "the weight's input width", inputs[1].dim(out_in ? 1 : 0), inputs[0].dim(1));
  if (inputs.size() == 3) {
    expect_rank(*this, "the bias", inputs[2], 1);
    expect_float(*this, "the bias", inputs[2]);
    expect_dim(*this, "the bias's width", inputs[2].dim(0), out);
  }
  return {DType::f32, {inputs[0].dim(0), out}};
}

Cost LinearOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  const double products = static_cast<double>(inputs[0].elements()) * static_cast<double>(output.shape[1]);
  cost.flops = 2 * products + (inputs.size() == 3 ? static_cast<double>(output.elements()) : 0);
  return cost;
}

void LinearOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const Tensor& x = inputs[0];
  const Tensor& weight = inputs[1];
  const int64_t in = x.shape[1];
  const int64_t out = output.shape[1];
  for (int64_t t = 0; t < output.shape[0]; ++t) {
    for (int64_t n = 0; n < out; ++n) {
      double sum = inputs.size() == 3 ? inputs[2].at(n) : 0.0;
      for (int64_t k = 0; k < in; ++k) {
        sum += static_cast<double>(x.f32()[t * in + k]) *
               weight.at(order_ == WeightOrder::out_in ? n * in + k : k * out + n);
      }
      output.as<float>()[t * out + n] = static_cast<float>(sum);
    }
  }
}

Value linear(Graph& graph, Value x, Value weight, std::optional<Value> bias, WeightOrder order,
             std::string label) {
  std::vector<Value> inputs{x, weight};
  if (bias) inputs.push_back(*bias);
  return graph.append(std::make_shared<LinearOp>(order), std::move(inputs), std::move(label));
}

}  // namespace ingot::graph
