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
  node.kind = NodeKind::input;
  node.name = std::move(name);
  node.type = std::move(type);
  return push(std::move(node));
}

Value Graph::weight(std::string name, Array array) {
  Node node;
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
  node.name = std::move(label);
  node.type = op->infer(types);
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  return push(std::move(node));
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

}  // namespace ingot::graph
