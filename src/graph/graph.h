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

/// A node's result. Every node has one; further results of an op are nodes of their own.
struct Value {
  int32_t id = -1;
  friend bool operator==(const Value&, const Value&) = default;
};

enum class NodeKind : uint8_t {
  input,   // bytes that each step brings
  weight,  // an array of the checkpoint
  state,   // storage that outlives a step: the KV cache
  op,
  result,  // a further result of the op before it
};

inline constexpr int32_t kNoLayer = -1;

struct Node {
  NodeKind kind = NodeKind::op;
  std::string name;              // inputs, weights, states: their name; ops: a label, may be empty
  TensorType type;               // of the result
  std::shared_ptr<const Op> op;  // kind op
  std::vector<Value> inputs;     // kind op; kind result: the op's node
  Array weight;                  // kind weight
  int32_t index = 0;             // kind result: which of the op's results()
  Value alias;                   // kind result: the value whose storage it is, if it has none of its own
  int32_t layer = kNoLayer;      // of the model, for routing by layer
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
  /// Appends an op; its type comes from the op's shape rule. Its further results follow as nodes: those of
  /// result(). Errors: invalid_argument.
  Value append(std::shared_ptr<const Op> op, std::vector<Value> inputs, std::string label = {});
  /// Appends a copy of another graph's node on inputs of this one, of the same types as its own. A result
  /// follows its op's copy at once; `alias` is the value here whose storage it is.
  Value copy(const Node& node, std::vector<Value> inputs, Value alias = {});
  /// Further result `index` of an op.
  Value result(Value op, int index) const;
  /// Nodes appended from now on belong to this layer of the model; kNoLayer: to none.
  void set_layer(int32_t layer) { layer_ = layer; }
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
  int32_t layer_ = kNoLayer;
};

/// The input whose storage this node's value is: a view, or a new version of a state.
std::optional<Value> alias_of(const Graph& graph, Value value);

/// Checks every node: inputs come earlier, types follow from the shape rules, names are unique, outputs
/// exist, only states are written and only their newest version is read. Errors: invalid_argument that names
/// the node.
void verify(const Graph& graph);

}  // namespace ingot::graph
