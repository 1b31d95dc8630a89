#include "graph/evaluate.h"

#include "base/check.h"

namespace ingot::graph {

std::vector<Tensor> evaluate(const Graph& graph, const DimValues& dims,
                             const std::map<std::string, Tensor, std::less<>>& bound,
                             std::vector<Array>& storage) {
  std::vector<Tensor> values;
  values.reserve(graph.nodes().size());
  // Views and cache versions share their input's memory; everything else an op writes is its own.
  const auto place = [&](Value value) {
    const TensorType& type = graph.type(value);
    Tensor tensor{.data = nullptr, .dtype = type.dtype, .shape = type.bind(dims)};
    if (const auto alias = alias_of(graph, value)) {
      tensor.data = values[static_cast<size_t>(alias->id)].data;
    } else {
      storage.push_back(Array::empty(type.dtype, tensor.shape));
      tensor.data = storage.back().mutable_raw();
    }
    return tensor;
  };
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    switch (node.kind) {
      case NodeKind::weight:
        values.push_back({.data = const_cast<std::byte*>(node.weight.raw()),
                          .dtype = node.weight.dtype(),
                          .shape = node.weight.shape()});
        break;
      case NodeKind::input:
      case NodeKind::state: {
        const auto found = bound.find(node.name);
        if (found == bound.end()) fail(ErrorCode::not_found, "evaluate: '{}' has no memory", node.name);
        values.push_back(found->second);
        break;
      }
      case NodeKind::result:  // written together with its op
        break;
      case NodeKind::op: {
        std::vector<Tensor> inputs;
        inputs.reserve(node.inputs.size());
        for (Value input : node.inputs) inputs.push_back(values[static_cast<size_t>(input.id)]);
        const size_t first = values.size();
        size_t end = i;
        do {
          values.push_back(place({static_cast<int32_t>(end)}));
        } while (++end < graph.nodes().size() && graph.nodes()[end].kind == NodeKind::result);
        const bool is_view = node.op->alias_of() && !node.op->writes_alias();
        if (!is_view) node.op->reference_all(inputs, std::span<const Tensor>(values).subspan(first));
        break;
      }
    }
  }
  return values;
}

}  // namespace ingot::graph
