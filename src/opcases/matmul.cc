#include "graph/ops/matmul.h"

#include "opcases/cases.h"
#include "opcases/linear_tolerance.h"

namespace ingot::opcases {
namespace {

OpCase situation(const std::vector<int64_t>& batch, int64_t m, int64_t k, int64_t n) {
  std::string name = "matmul/";
  for (int64_t extent : batch) name += fmt::format("{}x", extent);
  return {.name = name + fmt::format("{}x{}x{}", m, k, n),
          .dims = {},
          .build =
              [=](CaseBuilder& b) {
                std::vector<Dim> left(batch.begin(), batch.end());
                std::vector<Dim> right = left;
                left.insert(left.end(), {m, k});
                right.insert(right.end(), {k, n});
                const Value x = b.f32(left);
                return graph::matmul(b.graph(), x, b.f32(right));
              },
          .tolerance = {.absolute = (static_cast<double>(k) + 2) * kEpsilon, .relative = 0},  // as linear
          .per_rounding = rounding_error(k, kUniformDeviation, kUniformDeviation)};
}

}  // namespace

std::vector<OpCase> matmul_cases() {
  std::vector<OpCase> cases{situation({}, 1, 1, 1),     situation({}, 5, 7, 11),
                            situation({}, 17, 33, 65),  situation({3}, 4, 5, 6),
                            situation({2, 3}, 7, 1, 5), situation({2, 1, 3}, 2, 31, 3),
                            situation({}, 3, 0, 4),     situation({}, 0, 3, 4),
                            situation({}, 3, 4, 0),     situation({0}, 3, 4, 2)};
  OpCase speed = situation({4}, 128, 128, 128);
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  return cases;
}

std::vector<BadCase> matmul_bad_cases() {
  const auto with = [](const TensorType& x, const TensorType& y) {
    return [=](Graph& g) {
      const Value a = g.input("a", x);
      graph::matmul(g, a, g.input("b", y));
    };
  };
  return {
      {"a_is_a_vector", with({DType::f32, {4}}, {DType::f32, {4, 2}}),
       "matmul: expected a of rank >= 2, found f32[4]"},
      {"ranks_differ", with({DType::f32, {3, 4}}, {DType::f32, {1, 4, 2}}),
       "matmul: expected b of rank 2, found f32[1, 4, 2]"},
      {"a_is_f16", with({DType::f16, {3, 4}}, {DType::f32, {4, 2}}),
       "matmul: expected a of type f32, found f16[3, 4]"},
      {"b_is_f16", with({DType::f32, {3, 4}}, {DType::f16, {4, 2}}),
       "matmul: expected b of type f32, found f16[4, 2]"},
      {"batches_differ", with({DType::f32, {5, 3, 4}}, {DType::f32, {6, 4, 2}}),
       "matmul: expected b's batch dimension to be 5, found 6"},
      {"inner_widths_differ", with({DType::f32, {3, 4}}, {DType::f32, {5, 2}}),
       "matmul: expected b's rows to be 4, found 5"},
  };
}

}  // namespace ingot::opcases
