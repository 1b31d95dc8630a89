// Dead nodes: ops and weights that neither an output nor the next version of a state needs. Inputs and states
// stay, since runners know them by name.
#include "fuse/passes.h"

namespace ingot::fuse {

using graph::Node;
using graph::NodeKind;
using graph::Value;

void dead_nodes(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  std::vector<bool> is_needed(graph.nodes().size(), false);
  for (const graph::Output& output : graph.outputs()) is_needed[static_cast<size_t>(output.value.id)] = true;
  for (size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    const bool writes = (node.kind == NodeKind::op && node.op->writes_alias()) ||
                        (node.kind == NodeKind::result && node.alias.id >= 0);
    const bool has_name = node.kind == NodeKind::input || node.kind == NodeKind::state;
    is_needed[i] = is_needed[i] || writes || has_name;
    if (!is_needed[i]) continue;
    for (Value input : node.inputs) is_needed[static_cast<size_t>(input.id)] = true;
  }
  for (size_t i = 0; i < is_needed.size(); ++i) {
    // A result goes with its op.
    if (!is_needed[i] && graph.nodes()[i].kind != NodeKind::result) rewriter.drop({static_cast<int32_t>(i)});
  }
}

}  // namespace ingot::fuse
