#include "graph/ops/gelu.h"

#include "opcases/pointwise.h"

namespace ingot::opcases {
namespace {

Unary append(graph::GeluKind kind) {
  return [kind](Graph& g, Value x) { return graph::gelu(g, x, kind); };
}

}  // namespace

/// erf and tanh may be polynomials of absolute error 1.5e-7 + 2 epsilon, which |x| / 2 multiplies; that
/// matters where 1 + erf cancels, x in -6 … 0: at most 3 * 4e-7.
std::vector<OpCase> gelu_cases() {
  constexpr Tolerance kTolerance{.absolute = 1.2e-6, .relative = 8 * kEpsilon};
  std::vector<OpCase> cases = unary_cases("gelu/erf", append(graph::GeluKind::erf), kTolerance);
  for (OpCase& op_case : unary_cases("gelu/tanh", append(graph::GeluKind::tanh), kTolerance)) {
    cases.push_back(std::move(op_case));
  }
  return cases;
}

std::vector<BadCase> gelu_bad_cases() {
  return unary_bad_cases("gelu", append(graph::GeluKind::erf));
}

}  // namespace ingot::opcases
