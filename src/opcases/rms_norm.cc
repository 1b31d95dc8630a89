#include "graph/ops/rms_norm.h"

#include "opcases/cases.h"

namespace ingot::opcases {

/// The sum of squares rounds by up to about sqrt(width) units, of which the root keeps half; three products
/// follow.
std::vector<OpCase> rms_norm_cases() {
  constexpr Tolerance kTolerance{.absolute = 0, .relative = 12 * kEpsilon};
  constexpr Tolerance kWide{.absolute = 0, .relative = 32 * kEpsilon};
  std::vector<OpCase> cases;
  for (DType dtype : kWeightTypes) {
    for (int64_t width : kAwkwardWidths) {
      cases.push_back({.name = fmt::format("rms_norm/{}/17x{}", to_string(dtype), width),
                       .dims = tokens(17),
                       .build =
                           [=](CaseBuilder& b) {
                             const Value x = b.f32({Symbol::tokens, width}, 3);
                             return graph::rms_norm(b.graph(), x, b.weight(dtype, {width}), 1e-6F);
                           },
                       .tolerance = kTolerance,
                       .rows_are_independent = true});
    }
  }
  cases.push_back({.name = "rms_norm/heads/5x3x24",
                   .dims = tokens(5),
                   .build =
                       [](CaseBuilder& b) {
                         const Value x = b.f32({Symbol::tokens, 3, 24}, 1e-4);  // eps matters
                         return graph::rms_norm(b.graph(), x, b.weight(DType::bf16, {24}), 1e-5F);
                       },
                   .tolerance = kTolerance,
                   .rows_are_independent = true});
  cases.push_back({.name = "rms_norm/no_rows", .dims = tokens(0), .build = [](CaseBuilder& b) {
                     const Value x = b.f32({Symbol::tokens, 24});
                     return graph::rms_norm(b.graph(), x, b.weight(DType::f32, {24}), 1e-5F);
                   }});
  cases.push_back({.name = "rms_norm/speed/512x4096",
                   .dims = tokens(512),
                   .build =
                       [](CaseBuilder& b) {
                         const Value x = b.f32({Symbol::tokens, 4096});
                         return graph::rms_norm(b.graph(), x, b.weight(DType::bf16, {4096}), 1e-5F);
                       },
                   .tolerance = kWide,
                   .is_speed_case = true});
  return cases;
}

std::vector<BadCase> rms_norm_bad_cases() {
  const auto norm = [](const TensorType& x, const TensorType& w) {
    return [=](Graph& g) {
      const Value value = g.input("x", x);
      graph::rms_norm(g, value, g.input("w", w), 1e-6F);
    };
  };
  return {
      {"x_is_a_scalar", norm({DType::f32, {}}, {DType::f32, {1}}),
       "rms_norm: expected x of rank >= 1, found a scalar"},
      {"x_is_f16", norm({DType::f16, {7}}, {DType::f32, {7}}),
       "rms_norm: expected x of type f32, found f16[7]"},
      {"weight_of_two_dimensions", norm({DType::f32, {7}}, {DType::f32, {1, 7}}),
       "rms_norm: expected the weight of rank 1, found f32[1, 7]"},
      {"weight_of_integers", norm({DType::f32, {7}}, {DType::i8, {7}}),
       "rms_norm: expected the weight of type f32, f16 or bf16, found i8[7]"},
      {"weight_of_another_width", norm({DType::f32, {Symbol::tokens, 7}}, {DType::f32, {8}}),
       "rms_norm: expected the weight to be 7, found 8"},
  };
}

}  // namespace ingot::opcases
