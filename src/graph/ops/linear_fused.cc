#include "graph/ops/linear_fused.h"

#include <algorithm>

#include "base/check.h"
#include "graph/ops/add.h"
#include "graph/ops/mul.h"

namespace ingot::graph {

int LinearForm::weight_input(size_t part) const {
  int input = 1 + norm.inputs();
  for (size_t i = 0; i < part; ++i) input += parts[i].has_bias ? 2 : 1;
  return input;
}

FusedLinearOp::FusedLinearOp(LinearForm form) : form_(std::move(form)) {
  const bool one_output = form_.parts.size() == 1 || form_.gated;
  const bool is_known = !form_.parts.empty() && form_.parts.size() <= LinearForm::kMaxParts &&
                        (!form_.gated || form_.parts.size() == 2) &&
                        (form_.parts.size() == 1 || !form_.add) && (one_output || !form_.residual) &&
                        (one_output || form_.activation == Activation::none);
  if (!is_known) {
    fail(ErrorCode::invalid_argument,
         "linear: expected one part with an epilogue, two gated ones or a group of at most {} without one, "
         "found {} parts",
         LinearForm::kMaxParts, form_.parts.size());
  }
}

std::string_view FusedLinearOp::name() const {
  if (form_.gated) return "linear_glu";
  if (form_.parts.size() > 1) return "linear_group";
  const bool adds = form_.add || form_.residual;
  switch (form_.activation) {
    case Activation::none:
      return adds ? "linear_add" : "linear_norm";
    case Activation::silu:
      return adds ? "linear_add_silu" : "linear_silu";
    default:
      return adds ? "linear_add_gelu" : "linear_gelu";
  }
}

std::string FusedLinearOp::attributes() const {
  std::string text = to_string(form_.norm);
  const auto say = [&](std::string_view part) {
    if (part.empty()) return;
    if (!text.empty()) text += ", ";
    text += part;
  };
  if (form_.parts.size() > 1 && !form_.gated) say(fmt::format("{} linears", form_.parts.size()));
  const bool is_mixed = std::any_of(form_.parts.begin(), form_.parts.end(),
                                    [&](const LinearForm::Part& part) { return part != form_.parts[0]; });
  for (size_t i = 0; i < (is_mixed ? form_.parts.size() : 1); ++i) {
    const LinearForm::Part& part = form_.parts[i];
    if (is_mixed) say(fmt::format("linear {}:", i));
    if (part.order == WeightOrder::in_out) say("weight=in_out");
    if (part.has_bias) say("bias");
  }
  if (form_.add) say("add");
  say(to_string(form_.activation));
  if (form_.residual) say("residual");
  return text;
}

std::vector<Value> FusedLinearOp::decompose(Graph& graph, std::span<const Value> inputs) const {
  const auto input = [&](int index) { return inputs[static_cast<size_t>(index)]; };
  const Value x = append_norm(graph, inputs[0], inputs.subspan(1), form_.norm);
  std::vector<Value> outputs;
  for (size_t i = 0; i < form_.parts.size(); ++i) {
    std::optional<Value> bias;
    if (form_.parts[i].has_bias) bias = input(form_.bias_input(i));
    outputs.push_back(linear(graph, x, input(form_.weight_input(i)), bias, form_.parts[i].order));
  }
  if (outputs.size() > 1 && !form_.gated) return outputs;
  Value y = outputs[0];
  if (form_.add) {
    const TensorType& b = graph.type(input(form_.add_input()));
    if (b.rank() == 0) {
      fail(ErrorCode::invalid_argument, "{}: expected b of rank 1 or 2, found {}", name(), to_string(b));
    }
    y = graph::add(graph, y, input(form_.add_input()));
  }
  y = append_activation(graph, y, form_.activation);
  if (form_.gated) y = mul(graph, y, outputs[1]);
  if (form_.residual) {
    const Value residual = input(form_.residual_input());
    if (graph.type(residual) != graph.type(y)) {
      fail(ErrorCode::invalid_argument, "{}: expected a residual of type {}, found {}", name(),
           to_string(graph.type(y)), to_string(graph.type(residual)));
    }
    y = graph::add(graph, residual, y);
  }
  return {y};
}

std::optional<LinearForm> linear_form_of(const Node& node) {
  if (node.kind != NodeKind::op) return std::nullopt;
  if (node.op->name() == "linear") {
    LinearForm form;
    form.parts[0] = {.order = static_cast<const LinearOp&>(*node.op).order(),
                     .has_bias = node.inputs.size() == 3};
    return form;
  }
  const auto* fused = dynamic_cast<const FusedLinearOp*>(node.op.get());
  if (fused == nullptr) return std::nullopt;
  return fused->form();
}

}  // namespace ingot::graph
