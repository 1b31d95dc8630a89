#include <set>

#include "base/check.h"
#include "graph/graph.h"
#include "graph/op_table.h"

namespace ingot::graph {
namespace {

/// The nodes after an op are exactly its further results.
void verify_results(const Graph& graph, size_t op, std::span<const TensorType> types,
                    const std::string& where) {
  const std::vector<Result> results = graph.nodes()[op].op->results(types);
  for (size_t i = 0; i < results.size(); ++i) {
    const size_t at = op + 1 + i;
    const bool is_there = at < graph.nodes().size() && graph.nodes()[at].kind == NodeKind::result &&
                          graph.nodes()[at].index == static_cast<int32_t>(i);
    if (!is_there) fail(ErrorCode::invalid_argument, "{}: its result {} does not follow it", where, i);
    const Node& result = graph.nodes()[at];
    const Value alias =
        results[i].alias_of ? graph.nodes()[op].inputs[static_cast<size_t>(*results[i].alias_of)] : Value{};
    if (result.type != results[i].type || result.alias != alias) {
      fail(ErrorCode::invalid_argument, "{}: its result {} has type {}, expected {}", where, i,
           to_string(result.type), to_string(results[i].type));
    }
  }
}

}  // namespace

void verify(const Graph& graph) {
  std::set<std::string_view> names;
  std::vector<TensorType> types;
  // version[i]: the newest value that shares storage with value i and was *written* (a cache after kv_write).
  std::vector<int32_t> storage;
  std::vector<int32_t> newest;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const auto id = static_cast<int32_t>(i);
    const auto where = [&] {
      return fmt::format("graph: node {} '{}'", i, node.op ? node.op->name() : node.name);
    };
    storage.push_back(id);
    newest.push_back(id);
    const auto writes = [&](int32_t root) {
      const Node& owner = graph.nodes()[static_cast<size_t>(root)];
      if (owner.kind != NodeKind::state) {
        fail(ErrorCode::invalid_argument, "{}: writes to '{}', which is no state", where(), owner.name);
      }
      newest[static_cast<size_t>(root)] = id;
    };
    if (node.kind == NodeKind::result) {
      const bool has_op = node.inputs.size() == 1 && node.inputs[0].id + 1 + node.index == id &&
                          graph.nodes()[static_cast<size_t>(node.inputs[0].id)].kind == NodeKind::op;
      if (!has_op) fail(ErrorCode::invalid_argument, "{}: does not follow its op", where());
      if (node.alias.id >= 0) {
        storage.back() = storage[static_cast<size_t>(node.alias.id)];
        writes(storage.back());
      }
      continue;
    }
    if (node.kind != NodeKind::op) {
      if (node.op || !node.inputs.empty()) fail(ErrorCode::invalid_argument, "{}: has inputs", where());
      if (!names.insert(node.name).second) {
        fail(ErrorCode::invalid_argument, "{}: its name is used twice", where());
      }
      continue;
    }
    if (!node.op) fail(ErrorCode::invalid_argument, "{}: has no op", where());
    if (!find_op(node.op->name()))
      fail(ErrorCode::invalid_argument, "{}: the op is not in the op table", where());
    types.clear();
    for (Value input : node.inputs) {
      if (input.id < 0 || input.id >= id) {
        fail(ErrorCode::invalid_argument, "{}: expected inputs before it, found node {}", where(), input.id);
      }
      const auto root = static_cast<size_t>(storage[static_cast<size_t>(input.id)]);
      if (newest[root] > input.id && graph.nodes()[root].kind == NodeKind::state) {
        fail(ErrorCode::invalid_argument, "{}: reads version {} of state '{}', which node {} has overwritten",
             where(), input.id, graph.nodes()[root].name, newest[root]);
      }
      types.push_back(graph.type(input));
    }
    if (node.op->infer(types) != node.type) {
      fail(ErrorCode::invalid_argument, "{}: its type {} does not follow from its inputs", where(),
           to_string(node.type));
    }
    if (const auto alias = node.op->alias_of()) {
      const auto root = storage[static_cast<size_t>(node.inputs[static_cast<size_t>(*alias)].id)];
      storage.back() = root;
      if (node.op->writes_alias()) writes(root);
    }
    verify_results(graph, i, types, where());
  }
  for (const Output& output : graph.outputs()) static_cast<void>(graph.node(output.value));
}

}  // namespace ingot::graph
