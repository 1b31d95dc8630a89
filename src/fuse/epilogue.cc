#include "fuse/epilogue.h"

namespace ingot::fuse {

using graph::LinearForm;
using graph::Node;
using graph::Value;

std::optional<LinearBefore> linear_before(const Rewriter& rewriter, Value input) {
  const Node& node = rewriter.graph().node(input);
  if (rewriter.is_taken(input) || rewriter.readers(input) != 1) return std::nullopt;
  auto form = linear_form_of(node);
  if (!form || form->residual || (form->parts.size() > 1 && !form->gated)) return std::nullopt;
  return LinearBefore{.value = input, .form = std::move(*form), .inputs = node.inputs};
}

bool absorb(Rewriter& rewriter, const LinearBefore& linear, Value reader, LinearForm form,
            std::optional<Value> operand) {
  std::vector<Value> inputs = linear.inputs;
  if (operand) inputs.push_back(*operand);  // additions come last among the inputs
  return rewriter.replace({.op = std::make_shared<graph::FusedLinearOp>(std::move(form)),
                           .inputs = std::move(inputs),
                           .members = {linear.value, reader},
                           .outputs = {reader}});
}

}  // namespace ingot::fuse
