#include "graph/ops/concat.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(std::string_view name, const std::vector<std::vector<Dim>>& inputs, int axis) {
  return {.name = fmt::format("concat/{}", name), .dims = tokens(7), .build = [=](CaseBuilder& b) {
            std::vector<Value> values;
            values.reserve(inputs.size());
            for (const auto& dims : inputs) values.push_back(b.f32(dims));
            return graph::concat(b.graph(), std::move(values), axis);
          }};
}

}  // namespace

std::vector<OpCase> concat_cases() {
  std::vector<OpCase> cases{
      situation("one", {{Symbol::tokens, 5}}, 1),
      situation("last_axis", {{Symbol::tokens, 5}, {Symbol::tokens, 1}, {Symbol::tokens, 17}}, 1),
      situation("first_axis", {{3, 5}, {4, 5}}, 0),
      situation("middle_axis", {{Symbol::tokens, 2, 3}, {Symbol::tokens, 5, 3}}, 1),
      situation("with_an_empty_one", {{Symbol::tokens, 0}, {Symbol::tokens, 4}}, 1),
      situation("symbolic_axis", {{Symbol::tokens, 3}, {Symbol::tokens, 3}, {2, 3}}, 0),
      situation("rank5", {{2, 3, 1, 2, 2}, {2, 3, 2, 2, 2}}, 2)};
  for (DType dtype : kWeightTypes) {
    cases.push_back({.name = fmt::format("concat/weights/{}", to_string(dtype)),
                     .dims = {},
                     .build = [=](CaseBuilder& b) {
                       const Value x = b.weight(dtype, {5, 7});
                       return graph::concat(b.graph(), {x, b.weight(dtype, {2, 7})}, 0);
                     }});
  }
  return cases;
}

std::vector<BadCase> concat_bad_cases() {
  const auto with = [](const std::vector<TensorType>& types, int axis) {
    return [=](Graph& g) {
      std::vector<Value> values;
      values.reserve(types.size());
      for (const TensorType& type : types) values.push_back(input(g, type.dtype, type.dims));
      graph::concat(g, values, axis);
    };
  };
  return {
      {"no_inputs", with({}, 0), "concat: expected at least one input, found none"},
      {"axis_beyond_the_rank", with({{DType::f32, {3, 4}}}, 2),
       "concat: expected an axis of f32[3, 4], found 2"},
      {"types_differ", with({{DType::f32, {3, 4}}, {DType::f16, {3, 4}}}, 0),
       "concat: expected every input of type f32, found f16[3, 4]"},
      {"ranks_differ", with({{DType::f32, {3, 4}}, {DType::f32, {4}}}, 0),
       "concat: expected every input of rank 2, found f32[4]"},
      {"other_dimensions_differ", with({{DType::f32, {3, 4}}, {DType::f32, {3, 5}}}, 0),
       "concat: expected an input's dimension to be 4, found 5"},
      {"symbols_that_cannot_be_added",
       with({{DType::f32, {Symbol::tokens}}, {DType::f32, {Symbol::sequences}}}, 0),
       "dimensions T and S cannot be added"},
  };
}

}  // namespace ingot::opcases
