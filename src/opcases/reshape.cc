#include "graph/ops/reshape.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(std::string_view name, int64_t rows, const std::vector<Dim>& from,
                 const std::vector<Dim>& to) {
  return {.name = fmt::format("reshape/{}", name), .dims = tokens(rows), .build = [=](CaseBuilder& b) {
            return graph::reshape(b.graph(), b.f32(from), to);
          }};
}

}  // namespace

std::vector<OpCase> reshape_cases() {
  return {situation("split_heads", 17, {Symbol::tokens, 15}, {Symbol::tokens, 3, 5}),
          situation("merge_heads", 17, {Symbol::tokens, 3, 5}, {Symbol::tokens, 15}),
          situation("flatten", 3, {Symbol::tokens, 3, 5}, {Dim(Symbol::tokens) * 15}),
          situation("scalar", 1, {1, 1}, {}),
          situation("no_rows", 0, {Symbol::tokens, 4}, {Symbol::tokens, 2, 2}),
          situation("rank5", 2, {Symbol::tokens, 24}, {Symbol::tokens, 2, 3, 2, 2})};
}

std::vector<BadCase> reshape_bad_cases() {
  return {
      {"another_number_of_elements",
       [](Graph& g) {
         graph::reshape(g, input(g, DType::f32, {Symbol::tokens, 6}), {Symbol::tokens, 5});
       },
       "reshape: expected as many elements as f32[T, 6], found f32[T, 5]"},
      {"another_symbol",
       [](Graph& g) {
         graph::reshape(g, input(g, DType::f32, {Symbol::tokens, 6}), {Symbol::sequences, 6});
       },
       "reshape: expected as many elements as f32[T, 6], found f32[S, 6]"},
      {"too_many_dimensions",
       [](Graph& g) {
         graph::reshape(g, input(g, DType::f32, {6}), {1, 1, 1, 1, 1, 6});
       },
       "reshape: expected at most 5 dimensions, found 6"},
  };
}

}  // namespace ingot::opcases
