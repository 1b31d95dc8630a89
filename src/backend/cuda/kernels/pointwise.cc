#include "graph/ops/pointwise.h"

#include <algorithm>
#include <array>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/pointwise.h"

namespace ingot::cuda {
namespace {

static_assert(PointwiseChain::kMaxInputs == graph::PointwiseOp::kMaxInputs &&
              PointwiseChain::kMaxSteps == graph::PointwiseOp::kMaxSteps);

constexpr size_t kMaxOperands = graph::PointwiseOp::kMaxInputs + graph::PointwiseOp::kMaxSteps;

PointwiseChain::Kind kind_of(graph::PointwiseStep::Kind kind) {
  using From = graph::PointwiseStep::Kind;
  using To = PointwiseChain::Kind;
  switch (kind) {
    case From::add:
      return To::add;
    case From::mul:
      return To::mul;
    case From::gelu_erf:
      return To::gelu_erf;
    case From::gelu_tanh:
      return To::gelu_tanh;
    case From::silu:
      return To::silu;
  }
  return To::add;
}

/// Steps with slots for operands and results; steps that the output does not need are left out.
void place(const graph::PointwiseOp& op, PointwiseChain& chain) {
  const std::span<const graph::PointwiseStep> steps = op.steps();
  const auto inputs = static_cast<size_t>(op.inputs());
  std::array<bool, kMaxOperands> needed{};
  needed[inputs + steps.size() - 1] = true;
  for (size_t s = steps.size(); s-- > 0;) {
    if (!needed[inputs + s]) continue;
    needed[static_cast<size_t>(steps[s].a)] = true;
    if (graph::is_binary(steps[s].kind)) needed[static_cast<size_t>(steps[s].b)] = true;
  }

  std::array<int, kMaxOperands> last_reader{};  // the last step, of those that run, that reads an operand
  std::array<int, kMaxOperands> order{};        // of a step among those that run
  int count = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    if (!needed[inputs + s]) continue;
    order[inputs + s] = count;
    last_reader[static_cast<size_t>(steps[s].a)] = count;
    if (graph::is_binary(steps[s].kind)) last_reader[static_cast<size_t>(steps[s].b)] = count;
    ++count;
  }

  std::array<int8_t, kMaxOperands> slot{};
  for (size_t i = 0; i < inputs; ++i) slot[i] = static_cast<int8_t>(i);
  chain.slots = op.inputs();
  chain.step_count = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    const size_t result = inputs + s;
    if (!needed[result]) continue;
    const int at = order[result];
    const auto operand = [&](int index) {
      const auto i = static_cast<size_t>(index);
      return i >= inputs && order[i] == at - 1 ? PointwiseChain::kBefore : slot[i];
    };
    PointwiseChain::Step& step = chain.steps[chain.step_count++];
    step.kind = kind_of(steps[s].kind);
    step.a = operand(steps[s].a);
    step.b = graph::is_binary(steps[s].kind) ? operand(steps[s].b) : PointwiseChain::kNone;
    step.slot = PointwiseChain::kNone;
    if (last_reader[result] > at + 1) step.slot = static_cast<int8_t>(chain.slots++);
    slot[result] = step.slot;
  }
}

}  // namespace

bool supports_pointwise(const backend::KernelQuery& query) {
  return graph::are_trailing_parts(query.inputs, query.output);
}

void launch_pointwise(backend::Backend& backend, const backend::Launch& launch) {
  PointwiseChain chain;
  chain.input_count = static_cast<int>(launch.inputs.size());
  for (size_t i = 0; i < launch.inputs.size(); ++i) {
    const graph::Tensor& input = launch.inputs[i];
    chain.inputs[i] = {.data = input.data, .dtype = input.dtype, .elements = input.elements()};
  }
  place(static_cast<const graph::PointwiseOp&>(*launch.op), chain);
  chain.out = launch.output.as<float>();
  chain.elements = launch.output.elements();
  run_pointwise(gpu_of(backend), chain);
}

}  // namespace ingot::cuda
