// SwiGLU and GeGLU (Shazeer, 2020): activation(gate(x)) * up(x) as the epilogue of the two linears, which
// linear_group has put together.
#include "fuse/passes.h"
#include "graph/ops/linear_fused.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::LinearForm;
using graph::Node;
using graph::NodeKind;
using graph::Value;

/// The op that gives the value as one of its results, and which one it is: 0 is the output.
std::pair<Value, size_t> producer(const Graph& graph, Value value) {
  const Node& node = graph.node(value);
  if (node.kind == NodeKind::result) return {node.inputs[0], static_cast<size_t>(node.index) + 1};
  return {value, 0};
}

/// Fuses `activation(gate) * up` if both come from one group of two linears.
bool fuse_glu(Rewriter& rewriter, Value product, Value activated, Value up) {
  const Graph& graph = rewriter.graph();
  const Node& activation = graph.node(activated);
  if (activation.kind != NodeKind::op || rewriter.readers(activated) != 1) return false;
  const graph::Activation kind = activation_of(*activation.op);
  if (kind == graph::Activation::none) return false;
  const Value gate = activation.inputs[0];
  const auto [group, gate_part] = producer(graph, gate);
  const auto [up_group, up_part] = producer(graph, up);
  if (group != up_group || gate_part == up_part) return false;
  if (rewriter.readers(gate) != 1 || rewriter.readers(up) != 1) return false;
  const Node& node = graph.node(group);
  const auto form = linear_form_of(node);
  if (!form || form->parts.size() != 2 || form->gated) return false;
  LinearForm fused = *form;
  fused.gated = true;
  fused.activation = kind;
  std::vector<Value> inputs(node.inputs.begin(), node.inputs.begin() + form->weight_input(0));
  for (const size_t part : {gate_part, up_part}) {
    inputs.insert(inputs.end(), node.inputs.begin() + form->weight_input(part),
                  node.inputs.begin() + form->weight_input(part + 1));
  }
  if (gate_part == 1) std::swap(fused.parts[0], fused.parts[1]);
  return rewriter.replace({.op = std::make_shared<graph::FusedLinearOp>(fused),
                           .inputs = std::move(inputs),
                           .members = {group, activated, product},
                           .outputs = {product}});
}

}  // namespace

void glu(Rewriter& rewriter) {
  const Graph& graph = rewriter.graph();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.kind != NodeKind::op || node.op->name() != "mul") continue;
    const Value product{static_cast<int32_t>(i)};
    if (!fuse_glu(rewriter, product, node.inputs[0], node.inputs[1]))
      fuse_glu(rewriter, product, node.inputs[1], node.inputs[0]);
  }
}

}  // namespace ingot::fuse
