// Linears of one input as one op: q, k and v; gate and up. The weights stay where they are, each an input.
//
// Linears whose result goes straight into an addition or an activation are left to the epilogue passes, but
// for a gate, whose activation is multiplied with another linear of the same input.
#include <algorithm>
#include <map>
#include <span>

#include "fuse/passes.h"
#include "graph/ops/linear_fused.h"

namespace ingot::fuse {
namespace {

using graph::Activation;
using graph::LinearForm;
using graph::Node;
using graph::Value;

/// The value that a linear's result ends in when its activation is the only reader.
Value past_activation(const Rewriter& rewriter, Value linear) {
  const auto reader = rewriter.sole_reader(linear);
  if (!reader || activation_of(*rewriter.graph().node(*reader).op) == Activation::none) return linear;
  return *reader;
}

/// Whether activation(linear) is multiplied with a linear of the same input.
bool is_gate(const Rewriter& rewriter, Value linear) {
  const graph::Graph& graph = rewriter.graph();
  const Value gate = past_activation(rewriter, linear);
  const auto product = rewriter.sole_reader(gate);
  if (gate == linear || !product || graph.node(*product).op->name() != "mul") return false;
  const Node& mul = graph.node(*product);
  const Node& other = graph.node(mul.inputs[0] == gate ? mul.inputs[1] : mul.inputs[0]);
  return other.kind == graph::NodeKind::op && other.op->name() == "linear" &&
         other.inputs[0] == graph.node(linear).inputs[0];
}

bool has_epilogue(const Rewriter& rewriter, Value linear) {
  const auto reader = rewriter.sole_reader(linear);
  if (!reader) return false;
  const graph::Op& op = *rewriter.graph().node(*reader).op;
  if (op.name() == "add") return true;
  return activation_of(op) != Activation::none && !is_gate(rewriter, linear);
}

}  // namespace

void linear_group(Rewriter& rewriter) {
  const graph::Graph& graph = rewriter.graph();
  std::map<int32_t, std::vector<Value>> by_input;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const Value value{static_cast<int32_t>(i)};
    if (node.kind != graph::NodeKind::op || node.op->name() != "linear" || has_epilogue(rewriter, value))
      continue;
    by_input[node.inputs[0].id].push_back(value);
  }
  for (const auto& [input, all] : by_input) {
    if (all.size() < 2) continue;
    const auto some = std::span(all).first(std::min(all.size(), LinearForm::kMaxParts));
    const std::vector<Value> linears(some.begin(), some.end());
    LinearForm form;
    form.parts.clear();
    Replacement group{.op = nullptr, .inputs = {{input}}, .members = linears, .outputs = linears};
    for (Value linear : linears) {
      const Node& node = graph.node(linear);
      form.parts.push_back(linear_form_of(node)->parts[0]);
      group.inputs.insert(group.inputs.end(), node.inputs.begin() + 1, node.inputs.end());
    }
    group.op = std::make_shared<graph::FusedLinearOp>(form);
    rewriter.replace(std::move(group));
  }
}

}  // namespace ingot::fuse
