#include "graph/ops/layer_norm.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

OpCase situation(DType weight, DType bias, int64_t rows, int64_t width, double scale) {
  // x - mean cancels: its error is that of the mean, some epsilon of |x| / deviation, so absolute once
  // normalised.
  return {.name = fmt::format("layer_norm/{}+{}/{}x{}", to_string(weight), to_string(bias), rows, width),
          .dims = tokens(rows),
          .build =
              [=](CaseBuilder& b) {
                const Value x = b.f32({Symbol::tokens, width}, scale);
                const Value w = b.weight(weight, {width});
                return graph::layer_norm(b.graph(), x, w, b.weight(bias, {width}), 1e-5F);
              },
          // Two numbers of one row may lie near each other by chance, which magnifies it; many hardly do.
          .tolerance = {.absolute = (width < 8 ? 256 : 16) * kEpsilon, .relative = 12 * kEpsilon},
          .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> layer_norm_cases() {
  std::vector<OpCase> cases;
  for (DType dtype : kWeightTypes) {
    for (int64_t width : kAwkwardWidths) cases.push_back(situation(dtype, dtype, 17, width, 3));
  }
  cases.push_back(situation(DType::bf16, DType::f32, 3, 33, 1));
  cases.push_back(situation(DType::f32, DType::f16, 3, 33, 1));
  cases.push_back(situation(DType::f32, DType::f32, 0, 33, 1));
  cases.push_back({.name = "layer_norm/constant_row",
                   .dims = tokens(1),
                   .build =
                       [](CaseBuilder& b) {
                         const Value x = b.f32({Symbol::tokens, 8}, std::vector<float>(8, 2.5F));
                         const Value w = b.weight(DType::f32, {8});
                         return graph::layer_norm(b.graph(), x, w, b.weight(DType::f32, {8}), 1e-5F);
                       },
                   .tolerance = {.absolute = 16 * kEpsilon, .relative = 12 * kEpsilon}});
  OpCase speed = situation(DType::bf16, DType::bf16, 512, 4096, 1);
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  return cases;
}

std::vector<BadCase> layer_norm_bad_cases() {
  const auto norm = [](const TensorType& x, const TensorType& w, const TensorType& bias) {
    return [=](Graph& g) {
      const Value value = g.input("x", x);
      const Value weight = g.input("w", w);
      graph::layer_norm(g, value, weight, g.input("b", bias), 1e-6F);
    };
  };
  const TensorType seven{DType::f32, {7}};
  return {
      {"x_is_a_scalar", norm({DType::f32, {}}, seven, seven),
       "layer_norm: expected x of rank >= 1, found a scalar"},
      {"x_is_bf16", norm({DType::bf16, {7}}, seven, seven),
       "layer_norm: expected x of type f32, found bf16[7]"},
      {"weight_of_another_width", norm({DType::f32, {8}}, seven, seven),
       "layer_norm: expected the weight to be 8, found 7"},
      {"bias_of_another_width", norm(seven, seven, {DType::f32, {6}}),
       "layer_norm: expected the bias to be 7, found 6"},
      {"bias_of_two_dimensions", norm(seven, seven, {DType::f32, {7, 1}}),
       "layer_norm: expected the bias of rank 1, found f32[7, 1]"},
      {"bias_of_integers", norm(seven, seven, {DType::i32, {7}}),
       "layer_norm: expected the bias of type f32, f16 or bf16, found i32[7]"},
  };
}

}  // namespace ingot::opcases
