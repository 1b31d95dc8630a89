#include "graph/ops/silu.h"

#include "opcases/pointwise.h"

namespace ingot::opcases {
namespace {

Value append(Graph& g, Value x) {
  return graph::silu(g, x);
}

}  // namespace

/// An f32 exp is good to about 2 units in the last place, the rest adds two roundings. Far to the left the
/// result vanishes with exp(x), and f32 may flush what is below 1e-7 of nothing.
std::vector<OpCase> silu_cases() {
  return unary_cases("silu", append, {.absolute = 1e-7, .relative = 8 * kEpsilon});
}

std::vector<BadCase> silu_bad_cases() {
  return unary_bad_cases("silu", append);
}

}  // namespace ingot::opcases
