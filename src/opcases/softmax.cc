#include "graph/ops/softmax.h"

#include <cmath>
#include <limits>

#include "opcases/pointwise.h"

namespace ingot::opcases {
namespace {

Value append(Graph& g, Value x) {
  return graph::softmax(g, x);
}

}  // namespace

/// x - max is rounded to 2^-24 of up to 16, which exp turns into a relative error of 1e-6; the sum's rounding
/// and exp's own add a few units in the last place, and sqrt(width) of them where a plain loop adds one
/// number after the other.
std::vector<OpCase> softmax_cases() {
  const auto tolerance = [](int64_t width) -> Tolerance {
    return {.absolute = 1e-12, .relative = (32 + 0.5 * std::sqrt(static_cast<double>(width))) * kEpsilon};
  };
  std::vector<OpCase> cases;
  for (int64_t width : kAwkwardWidths) {
    cases.push_back({.name = fmt::format("softmax/17x{}", width),
                     .dims = tokens(17),
                     .build =
                         [=](CaseBuilder& b) {
                           return append(b.graph(), b.f32({Symbol::tokens, width}, 8));
                         },
                     .tolerance = tolerance(width),
                     .rows_are_independent = true});
  }
  cases.push_back({.name = "softmax/rank3/3x5x33",
                   .dims = tokens(3),
                   .build =
                       [](CaseBuilder& b) {
                         return append(b.graph(), b.f32({Symbol::tokens, 5, 33}, 8));
                       },
                   .tolerance = tolerance(33),
                   .rows_are_independent = true});
  cases.push_back({.name = "softmax/huge_and_impossible",
                   .dims = tokens(1),
                   .build =
                       [](CaseBuilder& b) {
                         std::vector<float> x(37, -1e30F);
                         x[3] = 3e38F;
                         x[36] = 3e38F;
                         x[7] = -std::numeric_limits<float>::infinity();
                         return append(b.graph(), b.f32({Symbol::tokens, 37}, std::move(x)));
                       },
                   .tolerance = tolerance(37)});
  cases.push_back({.name = "softmax/no_rows", .dims = tokens(0), .build = [](CaseBuilder& b) {
                     return append(b.graph(), b.f32({Symbol::tokens, 5}));
                   }});
  cases.push_back({.name = "softmax/speed/64x32000",
                   .dims = tokens(64),
                   .build =
                       [](CaseBuilder& b) {
                         return append(b.graph(), b.f32({Symbol::tokens, 32000}, 8));
                       },
                   .tolerance = tolerance(32000),
                   .is_speed_case = true});
  return cases;
}

std::vector<BadCase> softmax_bad_cases() {
  std::vector<BadCase> cases = unary_bad_cases("softmax", append);
  cases.push_back({"scalar", [](Graph& g) { append(g, input(g, DType::f32, {})); },
                   "softmax: expected rank >= 1, found a scalar"});
  return cases;
}

}  // namespace ingot::opcases
