#include "graph/ops/rope_table.h"

#include "opcases/step.h"

namespace ingot::opcases {
namespace {

using graph::RopeScaling;

struct NamedScaling {
  std::string_view name;
  RopeScaling scaling;
};

std::vector<NamedScaling> scalings() {
  using Kind = RopeScaling::Kind;
  return {
      {"default", {}},
      {"theta", {.theta = 1e6}},
      {"linear", {.kind = Kind::linear, .factor = 4}},
      {"llama3", {.kind = Kind::llama3, .theta = 500000, .factor = 32, .original_positions = 8192}},
      {"yarn", {.kind = Kind::yarn, .factor = 4, .original_positions = 32768, .attention_factor = 1.138629}},
      {"yarn_untruncated",
       {.kind = Kind::yarn, .factor = 16, .original_positions = 4096, .truncate = false}}};
}

OpCase situation(const NamedScaling& named, std::string_view rows, const std::vector<int32_t>& positions,
                 int64_t dims) {
  return {.name = fmt::format("rope_table/{}/{}x{}", named.name, rows, dims),
          .dims = tokens(static_cast<int64_t>(positions.size())),
          .build =
              [=, scaling = named.scaling](CaseBuilder& b) {
                return graph::rope_table(b.graph(), b.i32({Symbol::tokens}, positions), scaling, dims);
              },
          // Angles are rounded the same way everywhere; cosine and sine of an f32 to the last place or two.
          .tolerance = {.absolute = 2 * kEpsilon, .relative = 0},
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> rope_table_cases() {
  std::vector<OpCase> cases;
  for (const NamedScaling& named : scalings()) {
    for (int64_t dims : {2, 8, 14, 64, 128}) {
      cases.push_back(situation(named, "one", {0}, dims));
      cases.push_back(situation(named, "two", PagedStep({{3, 3}, {2, 1000}}, 32).positions, dims));
      cases.push_back(situation(named, "seventeen", PagedStep(seventeen(32), 32).positions, dims));
      cases.push_back(situation(named, "far", {131071, 65536, 1}, dims));
    }
  }
  const NamedScaling divisors{"divisors",
                              {.kind = RopeScaling::Kind::divisors, .divisors = {1, 1.25F, 6.5F, 32}}};
  cases.push_back(situation(divisors, "seventeen", PagedStep(seventeen(32), 32).positions, 8));
  cases.push_back(situation(divisors, "far", {131071, 65536, 1}, 8));
  cases.push_back(situation(scalings()[0], "no_rows", {}, 8));
  return cases;
}

std::vector<BadCase> rope_table_bad_cases() {
  const auto with = [](const TensorType& positions, int64_t dims) {
    return [=](Graph& g) { graph::rope_table(g, g.input("positions", positions), {}, dims); };
  };
  return {
      {"positions_of_floats", with({DType::f32, {Symbol::tokens}}, 8),
       "rope_table: expected positions of type i32, found f32[T]"},
      {"positions_of_rank_2", with({DType::i32, {Symbol::tokens, 2}}, 8),
       "rope_table: expected positions of rank 1, found i32[T, 2]"},
      {"odd_dimensions", with({DType::i32, {Symbol::tokens}}, 7),
       "rope_table: expected an even number of rotary dimensions > 0, found 7"},
      {"no_dimensions", with({DType::i32, {Symbol::tokens}}, 0),
       "rope_table: expected an even number of rotary dimensions > 0, found 0"},
      {"divisors_of_other_dimensions",
       [](Graph& g) {
         graph::rope_table(g, g.input("positions", {DType::i32, {Symbol::tokens}}),
                           {.kind = RopeScaling::Kind::divisors, .divisors = {1, 2}}, 8);
       },
       "rope_table: expected 4 divisors, one for each pair, found 2"},
  };
}

}  // namespace ingot::opcases
