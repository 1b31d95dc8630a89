// Graph: an append-only list of nodes; the order is topological by construction.
//
// A graph is built once, by one thread, and is read-only afterwards. It shares ownership of its weights'
// memory and of its ops.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"
#include "ingot/array.h"

namespace ingot::graph {

/// A node's result. Every node has one.
struct Value {
  int32_t id = -1;
  friend bool operator==(const Value&, const Value&) = default;
};

enum class NodeKind : uint8_t {
  input,   // bytes that each step brings
  weight,  // an array of the checkpoint
  state,   // storage that outlives a step: the KV cache
  op,
};

struct Node {
  NodeKind kind = NodeKind::op;
  std::string name;              // inputs, weights, states: their name; ops: a label, may be empty
  TensorType type;               // of the result
  std::shared_ptr<const Op> op;  // kind op
  std::vector<Value> inputs;     // kind op
  Array weight;                  // kind weight
};

struct Output {
  std::string name;
  Value value;
};

class Graph {
 public:
  /// Errors, as for state(): invalid_argument for more dimensions than an array has.
  Value input(std::string name, TensorType type);
  Value weight(std::string name, Array array);
  Value state(std::string name, TensorType type);
  /// Appends an op; its type comes from the op's shape rule. Errors: invalid_argument.
  Value append(std::shared_ptr<const Op> op, std::vector<Value> inputs, std::string label = {});
  void output(std::string name, Value value);

  std::span<const Node> nodes() const { return nodes_; }
  const Node& node(Value value) const;
  const TensorType& type(Value value) const { return node(value).type; }
  std::span<const Output> outputs() const { return outputs_; }
  /// The input, weight or state of that name. Errors: not_found.
  Value find(std::string_view name) const;

 private:
  Value push(Node node);
  std::vector<Node> nodes_;
  std::vector<Output> outputs_;
};

/// Checks every node: inputs come earlier, types follow from the shape rules, names are unique, outputs
/// exist, only states are written and only their newest version is read. Errors: invalid_argument that names
/// the node.
void verify(const Graph& graph);

}  // namespace ingot::graph
