#include "exec/cost.h"

#include <vector>

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Value;

double step_flops(const Plan& plan, const graph::DimValues& dims) {
  double flops = 0;
  std::vector<graph::Tensor> inputs;
  for (const PlannedLaunch& launch : plan.launches) {
    const Node& node = plan.graph->node(launch.node);
    inputs.clear();
    for (Value input : node.inputs) inputs.push_back(shape_of(*plan.graph, input, dims));
    flops += node.op->cost(inputs, shape_of(*plan.graph, launch.node, dims)).flops;
  }
  return flops;
}

double step_weight_bytes(const Plan& plan, const graph::DimValues& dims) {
  const graph::Graph& graph = *plan.graph;
  std::vector<bool> read_whole(graph.nodes().size(), false);
  double bytes = 0;
  for (const Node& node : graph.nodes()) {
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      const auto input = static_cast<size_t>(node.inputs[k].id);
      if (graph.nodes()[input].kind != NodeKind::weight) continue;
      if (node.op->name() == "embedding") {
        const double rows = static_cast<double>(shape_of(graph, node.inputs[0], dims).elements());
        const Shape& table = graph.nodes()[input].weight.shape();
        bytes += rows * static_cast<double>(dtype_bytes(graph.nodes()[input].type.dtype, table[1]));
      } else {
        read_whole[input] = true;
      }
    }
  }
  for (size_t i = 0; i < read_whole.size(); ++i) {
    if (read_whole[i]) bytes += static_cast<double>(graph.nodes()[i].weight.bytes());
  }
  return bytes;
}

}  // namespace ingot::exec
