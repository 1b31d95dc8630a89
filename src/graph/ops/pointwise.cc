#include "graph/ops/pointwise.h"

#include <algorithm>

#include "base/check.h"
#include "graph/ops/add.h"
#include "graph/ops/gelu.h"
#include "graph/ops/mul.h"
#include "graph/ops/silu.h"

namespace ingot::graph {

using Kind = PointwiseStep::Kind;

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::add:
      return "add";
    case Kind::mul:
      return "mul";
    case Kind::gelu_erf:
      return "gelu_erf";
    case Kind::gelu_tanh:
      return "gelu_tanh";
    case Kind::silu:
      return "silu";
  }
  return "?";
}

bool is_binary(Kind kind) {
  return kind == Kind::add || kind == Kind::mul;
}

std::optional<Kind> pointwise_kind_of(const Op& op) {
  if (op.name() == "add") return Kind::add;
  if (op.name() == "mul") return Kind::mul;
  if (op.name() == "silu") return Kind::silu;
  if (op.name() != "gelu") return std::nullopt;
  return static_cast<const GeluOp&>(op).kind() == GeluKind::erf ? Kind::gelu_erf : Kind::gelu_tanh;
}

bool are_trailing_parts(std::span<const TensorType> inputs, const TensorType& output) {
  return std::all_of(inputs.begin(), inputs.end(), [&](const TensorType& input) {
    const int rank = input.rank();
    if (rank > output.rank()) return false;
    for (int i = 1; i <= rank; ++i) {
      if (input.dim(-i) != output.dim(-i)) return false;
    }
    return true;
  });
}

PointwiseOp::PointwiseOp(int inputs, std::vector<PointwiseStep> steps)
    : inputs_(inputs), steps_(std::move(steps)) {
  const auto count = static_cast<int>(steps_.size());
  if (inputs < 1 || inputs > kMaxInputs || count < 1 || count > kMaxSteps) {
    fail(ErrorCode::invalid_argument,
         "pointwise: expected 1 to {} inputs and 1 to {} steps, found {} inputs and {} steps", kMaxInputs,
         kMaxSteps, inputs, count);
  }
  for (int i = 0; i < count; ++i) {
    const PointwiseStep& step = steps_[static_cast<size_t>(i)];
    const int end = inputs + i;
    const bool has_b = is_binary(step.kind);
    if (step.a < 0 || step.a >= end || (has_b && (step.b < 0 || step.b >= end))) {
      fail(ErrorCode::invalid_argument, "pointwise: step {}: expected operands 0 to {}, found {}{}", i,
           end - 1, step.a, has_b ? fmt::format(" and {}", step.b) : "");
    }
  }
}

std::string PointwiseOp::attributes() const {
  std::vector<std::string> texts;
  texts.reserve(static_cast<size_t>(inputs_) + steps_.size());
  for (int i = 0; i < inputs_; ++i) texts.emplace_back(1, static_cast<char>('a' + i));
  for (const PointwiseStep& step : steps_) {
    const std::string& a = texts[static_cast<size_t>(step.a)];
    if (!is_binary(step.kind)) {
      texts.push_back(fmt::format("{}({})", to_string(step.kind), a));
      continue;
    }
    const std::string& b = texts[static_cast<size_t>(step.b)];
    texts.push_back(step.kind == Kind::mul ? fmt::format("{} * {}", a, b) : fmt::format("({} + {})", a, b));
  }
  return texts.back();
}

std::vector<Value> PointwiseOp::decompose(Graph& graph, std::span<const Value> inputs) const {
  std::vector<Value> values(inputs.begin(), inputs.end());
  for (const PointwiseStep& step : steps_) {
    const Value a = values[static_cast<size_t>(step.a)];
    const Value b = values[static_cast<size_t>(step.b)];
    switch (step.kind) {
      case Kind::add:
        values.push_back(add(graph, a, b));
        break;
      case Kind::mul:
        values.push_back(mul(graph, a, b));
        break;
      case Kind::gelu_erf:
        values.push_back(gelu(graph, a, GeluKind::erf));
        break;
      case Kind::gelu_tanh:
        values.push_back(gelu(graph, a, GeluKind::tanh));
        break;
      case Kind::silu:
        values.push_back(silu(graph, a));
        break;
    }
  }
  return {values.back()};
}

}  // namespace ingot::graph
