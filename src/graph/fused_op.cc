#include "graph/fused_op.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"
#include "graph/evaluate.h"

namespace ingot::graph {
namespace {

std::string input_name(size_t index) {
  return fmt::format("{}", index);
}

/// The unfused ops over inputs of these types.
struct Body {
  Graph graph;
  std::vector<Value> inputs;
  std::vector<Value> outputs;

  Body(const FusedOp& op, std::span<const TensorType> types) {
    for (size_t i = 0; i < types.size(); ++i) inputs.push_back(graph.state(input_name(i), types[i]));
    outputs = op.decompose(graph, inputs);
  }
  /// The input whose newest version this value is.
  std::optional<int> written_input(Value value) const {
    if (graph.node(value).kind != NodeKind::op || !graph.node(value).op->writes_alias()) return std::nullopt;
    Value root = value;
    while (const auto alias = alias_of(graph, root)) root = *alias;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i] == root) return static_cast<int>(i);
    }
    return std::nullopt;
  }
};

std::vector<TensorType> types_of(std::span<const Tensor> tensors) {
  std::vector<TensorType> types;
  for (const Tensor& tensor : tensors) {
    TensorType type{tensor.dtype, {}};
    for (int64_t length : tensor.shape.lengths()) type.dims.emplace_back(length);
    types.push_back(std::move(type));
  }
  return types;
}

}  // namespace

TensorType FusedOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, input_count(), input_count());
  const Body body(*this, inputs);
  return body.graph.type(body.outputs[0]);
}

std::vector<Result> FusedOp::results(std::span<const TensorType> inputs) const {
  const Body body(*this, inputs);
  std::vector<Result> results;
  for (size_t i = 1; i < body.outputs.size(); ++i) {
    const Value value = body.outputs[i];
    results.push_back({.type = body.graph.type(value), .alias_of = body.written_input(value)});
  }
  return results;
}

Cost FusedOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  const Body body(*this, types_of(inputs));
  const DimValues no_symbols;
  const auto bound = [&](Value value) {
    const TensorType& type = body.graph.type(value);
    return Tensor{.data = nullptr, .dtype = type.dtype, .shape = type.bind(no_symbols)};
  };
  Cost cost;
  std::vector<bool> is_written(inputs.size(), false);
  for (size_t i = 0; i < body.graph.nodes().size(); ++i) {
    const Node& node = body.graph.nodes()[i];
    if (node.kind != NodeKind::op) continue;
    std::vector<Tensor> operands;
    operands.reserve(node.inputs.size());
    for (Value input : node.inputs) operands.push_back(bound(input));
    const Value value{static_cast<int32_t>(i)};
    const Cost part = node.op->cost(operands, bound(value));
    cost.flops += part.flops;
    if (const auto input = body.written_input(value)) {
      is_written[static_cast<size_t>(*input)] = true;
      cost.bytes_written += part.bytes_written;
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_written[i]) cost.bytes_read += static_cast<double>(inputs[i].bytes());
  }
  cost.bytes_written += static_cast<double>(output.bytes());
  for (size_t i = 1; i < body.outputs.size(); ++i) {
    if (!body.written_input(body.outputs[i]))
      cost.bytes_written += static_cast<double>(bound(body.outputs[i]).bytes());
  }
  return cost;
}

void FusedOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  reference_all(inputs, {&output, 1});
}

void FusedOp::reference_all(std::span<const Tensor> inputs, std::span<const Tensor> outputs) const {
  const Body body(*this, types_of(inputs));
  INGOT_CHECK(outputs.size() == body.outputs.size(), "{}: {} outputs, expected {}", name(), outputs.size(),
              body.outputs.size());
  std::map<std::string, Tensor, std::less<>> bound;
  for (size_t i = 0; i < inputs.size(); ++i) bound.emplace(input_name(i), inputs[i]);
  std::vector<Array> storage;
  const std::vector<Tensor> values = evaluate(body.graph, {}, bound, storage);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& value = values[static_cast<size_t>(body.outputs[i].id)];
    if (value.data != outputs[i].data && value.bytes() > 0)
      std::memcpy(outputs[i].data, value.data, value.bytes());
  }
}

const FusedOp* as_fused(const Op& op) {
  return dynamic_cast<const FusedOp*>(&op);
}

}  // namespace ingot::graph
