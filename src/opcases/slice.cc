#include "graph/ops/slice.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(std::string_view name, const std::vector<Dim>& dims, int axis, int64_t begin, int64_t end) {
  return {.name = fmt::format("slice/{}", name), .dims = tokens(7), .build = [=](CaseBuilder& b) {
            return graph::slice(b.graph(), b.f32(dims), axis, begin, end);
          }};
}

}  // namespace

std::vector<OpCase> slice_cases() {
  std::vector<OpCase> cases{situation("last_axis", {Symbol::tokens, 15}, 1, 5, 10),
                            situation("one", {Symbol::tokens, 15}, 1, 14, 15),
                            situation("nothing", {Symbol::tokens, 15}, 1, 7, 7),
                            situation("all", {Symbol::tokens, 15}, 1, 0, 15),
                            situation("middle_axis", {Symbol::tokens, 5, 3}, 1, 1, 4),
                            situation("first_axis", {9, Symbol::tokens}, 0, 2, 8),
                            situation("rank5", {2, 3, 4, 3, 2}, 2, 1, 3)};
  for (DType dtype : kWeightTypes) {
    cases.push_back(
        {.name = fmt::format("slice/weight/{}", to_string(dtype)), .dims = {}, .build = [=](CaseBuilder& b) {
           return graph::slice(b.graph(), b.weight(dtype, {5, 7}), 0, 1, 4);
         }});
  }
  return cases;
}

std::vector<BadCase> slice_bad_cases() {
  const auto with = [](const std::vector<Dim>& dims, int axis, int64_t begin, int64_t end) {
    return [=](Graph& g) { graph::slice(g, input(g, DType::f32, dims), axis, begin, end); };
  };
  return {
      {"axis_beyond_the_rank", with({4, 5}, 2, 0, 1), "slice: expected an axis of f32[4, 5], found 2"},
      {"negative_axis", with({4, 5}, -1, 0, 1), "slice: expected an axis of f32[4, 5], found -1"},
      {"end_beyond_the_extent", with({4, 5}, 1, 0, 6), "slice: expected a range within 0:5, found 0:6"},
      {"begin_after_end", with({4, 5}, 1, 3, 2), "slice: expected a range within 0:5, found 3:2"},
      {"negative_begin", with({4, 5}, 1, -1, 2), "slice: expected a range within 0:5, found -1:2"},
      {"symbolic_axis", with({Symbol::tokens, 5}, 0, 0, 1), "expected a static dimension, found T"},
  };
}

}  // namespace ingot::opcases
