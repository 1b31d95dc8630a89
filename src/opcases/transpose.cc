#include "graph/ops/transpose.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(std::string_view name, const std::vector<Dim>& dims, const std::vector<int>& order) {
  return {.name = fmt::format("transpose/{}", name), .dims = tokens(7), .build = [=](CaseBuilder& b) {
            return graph::transpose(b.graph(), b.f32(dims), order);
          }};
}

}  // namespace

std::vector<OpCase> transpose_cases() {
  std::vector<OpCase> cases{situation("matrix", {Symbol::tokens, 5}, {1, 0}),
                            situation("identity", {Symbol::tokens, 5}, {0, 1}),
                            situation("scalar", {}, {}),
                            situation("heads", {Symbol::tokens, 3, 5}, {1, 0, 2}),
                            situation("cycle", {2, 3, 5}, {2, 0, 1}),
                            situation("rank5", {2, 3, 1, 5, 2}, {4, 2, 0, 3, 1}),
                            situation("empty", {3, 0, 2}, {2, 1, 0})};
  for (DType dtype : kWeightTypes) {
    cases.push_back({.name = fmt::format("transpose/weight/{}", to_string(dtype)),
                     .dims = {},
                     .build = [=](CaseBuilder& b) {
                       return graph::transpose(b.graph(), b.weight(dtype, {5, 7}), {1, 0});
                     }});
  }
  return cases;
}

std::vector<BadCase> transpose_bad_cases() {
  const auto with = [](const std::vector<int>& order) {
    return [=](Graph& g) { graph::transpose(g, input(g, DType::f32, {4, 5}), order); };
  };
  return {
      {"too_few_axes", with({0}), "transpose: expected a permutation of the axes of f32[4, 5], found 0"},
      {"an_axis_twice", with({1, 1}),
       "transpose: expected a permutation of the axes of f32[4, 5], found 1,1"},
      {"an_axis_beyond_the_rank", with({0, 2}),
       "transpose: expected a permutation of the axes of f32[4, 5], found 0,2"},
      {"a_negative_axis", with({-1, 0}),
       "transpose: expected a permutation of the axes of f32[4, 5], found -1,0"},
  };
}

}  // namespace ingot::opcases
