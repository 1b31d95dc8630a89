#include "graph/graph.h"

#include <utility>

#include "base/check.h"

namespace ingot::graph {
namespace {

void expect_bindable(const std::string& name, const TensorType& type) {
  if (type.rank() <= Shape::kMaxRank) return;
  fail(ErrorCode::invalid_argument, "graph: '{}': expected at most {} dimensions, found {}", name,
       Shape::kMaxRank, to_string(type));
}

}  // namespace

Value Graph::push(Node node) {
  nodes_.push_back(std::move(node));
  return {static_cast<int32_t>(nodes_.size()) - 1};
}

Value Graph::input(std::string name, TensorType type) {
  expect_bindable(name, type);
  Node node;
  node.layer = layer_;
  node.kind = NodeKind::input;
  node.name = std::move(name);
  node.type = std::move(type);
  return push(std::move(node));
}

Value Graph::weight(std::string name, Array array) {
  Node node;
  node.layer = layer_;
  node.kind = NodeKind::weight;
  node.name = std::move(name);
  node.type.dtype = array.dtype();
  for (int64_t extent : array.shape().lengths()) node.type.dims.emplace_back(extent);
  node.weight = std::move(array);
  return push(std::move(node));
}

Value Graph::state(std::string name, TensorType type) {
  expect_bindable(name, type);
  Node node;
  node.layer = layer_;
  node.kind = NodeKind::state;
  node.name = std::move(name);
  node.type = std::move(type);
  return push(std::move(node));
}

Value Graph::append(std::shared_ptr<const Op> op, std::vector<Value> inputs, std::string label) {
  std::vector<TensorType> types;
  types.reserve(inputs.size());
  for (Value value : inputs) types.push_back(type(value));
  Node node;
  node.layer = layer_;
  node.name = std::move(label);
  node.type = op->infer(types);
  std::vector<Result> results = op->results(types);
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  const Value value = push(std::move(node));
  for (size_t i = 0; i < results.size(); ++i) {
    Node further;
    further.layer = layer_;
    further.kind = NodeKind::result;
    further.type = std::move(results[i].type);
    further.inputs = {value};
    further.index = static_cast<int32_t>(i);
    if (results[i].alias_of)
      further.alias = nodes_[static_cast<size_t>(value.id)].inputs[static_cast<size_t>(*results[i].alias_of)];
    push(std::move(further));
  }
  return value;
}

Value Graph::copy(const Node& node, std::vector<Value> inputs, Value alias) {
  Node own = node;
  own.inputs = std::move(inputs);
  own.alias = alias;
  return push(std::move(own));
}

Value Graph::result(Value op, int index) const {
  const Value value{op.id + 1 + index};
  const Node& found = node(value);
  if (found.kind != NodeKind::result || found.inputs[0] != op || found.index != index) {
    fail(ErrorCode::invalid_argument, "graph: node {} has no further result {}", op.id, index);
  }
  return value;
}

void Graph::output(std::string name, Value value) {
  static_cast<void>(node(value));  // the value must exist
  outputs_.push_back({std::move(name), value});
}

const Node& Graph::node(Value value) const {
  if (value.id < 0 || static_cast<size_t>(value.id) >= nodes_.size()) {
    fail(ErrorCode::invalid_argument, "graph: value {} does not exist, the graph has {} nodes", value.id,
         nodes_.size());
  }
  return nodes_[static_cast<size_t>(value.id)];
}

Value Graph::find(std::string_view name) const {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].kind != NodeKind::op && nodes_[i].name == name) return {static_cast<int32_t>(i)};
  }
  fail(ErrorCode::not_found, "graph: no input, weight or state is named '{}'", name);
}

std::optional<Value> alias_of(const Graph& graph, Value value) {
  const Node& node = graph.node(value);
  if (node.kind == NodeKind::result && node.alias.id >= 0) return node.alias;
  if (node.kind != NodeKind::op) return std::nullopt;
  const auto input = node.op->alias_of();
  if (!input) return std::nullopt;
  return node.inputs[static_cast<size_t>(*input)];
}

}  // namespace ingot::graph
