#include "graph/ops/rope.h"

#include "opcases/step.h"

namespace ingot::opcases {
namespace {

using graph::RopeStyle;

OpCase situation(RopeStyle style, int64_t rows, int64_t heads, int64_t head_dim, int64_t rotary) {
  return {.name = fmt::format("rope/{}/{}x{}x{}of{}", style == RopeStyle::half ? "half" : "interleaved", rows,
                              heads, rotary, head_dim),
          .dims = tokens(rows),
          .build =
              [=](CaseBuilder& b) {
                const Value x = b.f32({Symbol::tokens, heads, head_dim});
                return graph::rope(b.graph(), x, b.f32({Symbol::tokens, rotary}), style);
              },
          // a c - b s of numbers below 1: three roundings, or two where the products are fused.
          .tolerance = {.absolute = 2 * kEpsilon, .relative = 0},
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> rope_cases() {
  std::vector<OpCase> cases;
  for (RopeStyle style : {RopeStyle::half, RopeStyle::interleaved}) {
    for (int64_t head_dim : {2, 6, 8, 16, 24, 34, 64, 80, 128}) {
      for (int64_t rows : {1, 2, 17}) cases.push_back(situation(style, rows, 3, head_dim, head_dim));
    }
    cases.push_back(situation(style, 5, 2, 80, 32));  // partly rotary, as Phi and GPT-NeoX
    cases.push_back(situation(style, 5, 2, 7, 4));
    cases.push_back(situation(style, 5, 2, 7, 0));
    cases.push_back(situation(style, 0, 2, 8, 8));
    cases.push_back(situation(style, 3, 0, 8, 8));
    OpCase speed = situation(style, 512, 32, 128, 128);
    speed.is_speed_case = true;
    cases.push_back(std::move(speed));
  }
  return cases;
}

std::vector<BadCase> rope_bad_cases() {
  const auto with = [](const TensorType& x, const TensorType& table) {
    return [=](Graph& g) {
      const Value value = g.input("x", x);
      graph::rope(g, value, g.input("table", table), RopeStyle::half);
    };
  };
  const TensorType x{DType::f32, {Symbol::tokens, 2, 8}};
  return {
      {"x_of_rank_2", with({DType::f32, {Symbol::tokens, 8}}, {DType::f32, {Symbol::tokens, 8}}),
       "rope: expected x of rank 3, found f32[T, 8]"},
      {"x_of_f16", with({DType::f16, {Symbol::tokens, 2, 8}}, {DType::f32, {Symbol::tokens, 8}}),
       "rope: expected x of type f32, found f16[T, 2, 8]"},
      {"table_of_rank_1", with(x, {DType::f32, {8}}), "rope: expected the table of rank 2, found f32[8]"},
      {"table_of_f16", with(x, {DType::f16, {Symbol::tokens, 8}}),
       "rope: expected the table of type f32, found f16[T, 8]"},
      {"table_of_other_rows", with(x, {DType::f32, {Symbol::sequences, 8}}),
       "rope: expected the table's rows to be T, found S"},
      {"more_rotary_than_head_dim", with(x, {DType::f32, {Symbol::tokens, 10}}),
       "rope: expected an even number of rotary dimensions <= 8, found 10"},
      {"odd_rotary", with(x, {DType::f32, {Symbol::tokens, 7}}),
       "rope: expected an even number of rotary dimensions <= 8, found 7"},
  };
}

}  // namespace ingot::opcases
