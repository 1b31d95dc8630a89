// Chains of point-wise ops as one pass over memory: from the last op of a chain, every operand that a
// point-wise op computes for this chain alone joins it.
#include <algorithm>
#include <map>

#include "fuse/passes.h"
#include "graph/ops/pointwise.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::PointwiseOp;
using graph::PointwiseStep;
using graph::Value;

std::optional<PointwiseStep::Kind> kind_of(const Graph& graph, Value value) {
  const Node& node = graph.node(value);
  if (node.kind != NodeKind::op) return std::nullopt;
  return pointwise_kind_of(*node.op);
}

/// The chain that ends in `last`: members in order, at least `last` itself.
class Chain {
 public:
  Chain(const Rewriter& rewriter, Value last) : rewriter_(rewriter), graph_(rewriter.graph()) {
    members_.push_back(last);
    // Grows at the front: each member's operands are looked at once.
    for (size_t i = 0; i < members_.size(); ++i) {
      for (Value operand : graph_.node(members_[i]).inputs) {
        if (may_join(operand, graph_.type(last))) members_.push_back(operand);
      }
    }
    std::sort(members_.begin(), members_.end(), [](Value a, Value b) { return a.id < b.id; });
  }

  const std::vector<Value>& members() const { return members_; }

  /// The fused op's inputs, the first of the chain's shape, and its steps; none where they are too many.
  std::optional<Replacement> replacement() const {
    std::vector<Value> inputs;
    for (Value member : members_) {
      for (Value operand : graph_.node(member).inputs) {
        const bool is_known = std::find(inputs.begin(), inputs.end(), operand) != inputs.end();
        if (!is_known && !is_member(operand)) inputs.push_back(operand);
      }
    }
    if (inputs.size() > static_cast<size_t>(PointwiseOp::kMaxInputs)) return std::nullopt;
    std::map<int32_t, int> place;
    for (Value input : inputs) place.emplace(input.id, static_cast<int>(place.size()));
    std::vector<PointwiseStep> steps;
    for (Value member : members_) {
      const std::vector<Value>& operands = graph_.node(member).inputs;
      steps.push_back({.kind = *kind_of(graph_, member),
                       .a = place.at(operands[0].id),
                       .b = operands.size() > 1 ? place.at(operands[1].id) : 0});
      place.emplace(member.id, static_cast<int>(place.size()));
    }
    const auto count = static_cast<int>(inputs.size());
    return Replacement{.op = std::make_shared<PointwiseOp>(count, std::move(steps)),
                       .inputs = std::move(inputs),
                       .members = members_,
                       .outputs = {members_.back()}};
  }

 private:
  bool is_member(Value value) const {
    return std::find(members_.begin(), members_.end(), value) != members_.end();
  }
  /// Every element of the operand is computed once, where the chain needs it.
  bool may_join(Value operand, const graph::TensorType& type) const {
    return members_.size() < static_cast<size_t>(PointwiseOp::kMaxSteps) && !rewriter_.is_taken(operand) &&
           kind_of(graph_, operand) && rewriter_.readers(operand) == 1 && graph_.type(operand) == type;
  }

  const Rewriter& rewriter_;
  const Graph& graph_;
  std::vector<Value> members_;
};

}  // namespace

void pointwise_chain(Rewriter& rewriter) {
  const Graph& graph = rewriter.graph();
  for (size_t i = graph.nodes().size(); i-- > 0;) {
    const Value last{static_cast<int32_t>(i)};
    if (rewriter.is_taken(last) || !kind_of(graph, last)) continue;
    const Chain chain(rewriter, last);
    if (chain.members().size() < 2) continue;
    if (auto replacement = chain.replacement()) rewriter.replace(std::move(*replacement));
  }
}

}  // namespace ingot::fuse
