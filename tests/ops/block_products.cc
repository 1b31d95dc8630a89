// Products with block formats against a scalar emulation of exactly their arithmetic: rows rounded to 8-bit
// integers, 32 with one scale, exact products, and sums in f64. What the op cases' tolerance for 8-bit
// activations would let pass, one wrong weight of a few hundred, does not pass here.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "graph/ops/linear.h"
#include "ops/run_case.h"

namespace ingot {
namespace {

constexpr int64_t kGroup = 32;  // activations that share a scale

/// x rounded: what the products are made with.
std::vector<double> rounded_row(const float* x, int64_t width) {
  std::vector<double> rounded(static_cast<size_t>(width));
  for (int64_t k = 0; k < width; k += kGroup) {
    float largest = 0;
    for (int64_t i = k; i < k + kGroup; ++i) largest = std::max(largest, std::abs(x[i]));
    const float scale = largest / 127.0F;
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    for (int64_t i = k; i < k + kGroup; ++i)
      rounded[static_cast<size_t>(i)] = std::nearbyint(x[i] * inverse) * static_cast<double>(scale);
  }
  return rounded;
}

float value_at(const std::vector<std::byte>& floats, int64_t i) {
  float value = 0;
  std::memcpy(&value, floats.data() + static_cast<size_t>(i) * sizeof(value), sizeof(value));
  return value;
}

class BlockProducts : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { cpu::use_simd_target_for_test(GetParam()); }
  void TearDown() override { cpu::use_simd_target_for_test(""); }
};

TEST_P(BlockProducts, AreExactButForTheSumsOfGroups) {
  const auto device = backend::make_backend("cpu", {.threads = 2});
  std::set<DType> seen;
  for (const opcases::OpCases& row : opcases::table()) {
    if (row.op != "linear") continue;
    for (const opcases::OpCase& op_case : row.cases()) {
      if (op_case.is_speed_case) continue;
      const BuiltCase built = build(op_case);
      const std::vector<Tensor> inputs = built.inputs();
      const Tensor& x = inputs[0];
      const Tensor& weight = inputs[1];
      if (!is_block_dtype(weight.dtype)) continue;
      SCOPED_TRACE(op_case.name);
      seen.insert(weight.dtype);
      const int64_t in = x.shape[1];
      const int64_t out = weight.shape[0];
      std::vector<double> weights(static_cast<size_t>(out * in));
      for (int64_t i = 0; i < out * in; ++i) weights[static_cast<size_t>(i)] = weight.at(i);
      const std::vector<std::byte> of_prompt = run_case(*device, built, StepClass::prefill);
      const std::vector<std::byte> of_decode = run_case(*device, built, StepClass::decode);
      for (int64_t r = 0; r < x.shape[0]; ++r) {
        const std::vector<double> rounded = rounded_row(x.f32() + r * in, in);
        for (int64_t n = 0; n < out; ++n) {
          double sum = inputs.size() == 3 ? inputs[2].at(n) : 0;
          double magnitude = std::abs(sum);
          for (int64_t k = 0; k < in; ++k) {
            const double term = rounded[static_cast<size_t>(k)] * weights[static_cast<size_t>(n * in + k)];
            sum += term;
            magnitude += std::abs(term);
          }
          // Of 1000 terms a wrong one is off by about 1e-4 of the magnitude.
          const double allowed = 2e-6 * magnitude;
          ASSERT_NEAR(value_at(of_decode, r * out + n), sum, allowed) << "row " << r << ", output " << n;
          ASSERT_NEAR(value_at(of_prompt, r * out + n), sum, allowed)
              << "prompt, row " << r << ", output " << n;
        }
      }
    }
  }
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(is_block_dtype(dtype), seen.contains(dtype)) << to_string(dtype);
  }
}

/// A linear of one row of `width` ones but for the given value, with a weight of q8_0.
float product_with(backend::Backend& device, StepClass step, int64_t width, float value, int64_t at) {
  const opcases::OpCase op_case{.name = "linear/one_value",
                                .dims =
                                    [] {
                                      graph::DimValues dims;
                                      dims[graph::Symbol::tokens] = 1;
                                      return dims;
                                    }(),
                                .build =
                                    [=](opcases::CaseBuilder& b) {
                                      std::vector<float> x(static_cast<size_t>(width), 1.0F);
                                      x[static_cast<size_t>(at)] = value;
                                      const auto input = b.f32({graph::Symbol::tokens, width}, x);
                                      return graph::linear(b.graph(), input,
                                                           b.weight(DType::q8_0, {1, width}), std::nullopt,
                                                           graph::WeightOrder::out_in);
                                    }};
  return value_at(run_case(device, build(op_case), step), 0);
}

TEST_P(BlockProducts, OfValuesThatAreNotFiniteAreNotFinite) {
  const auto device = backend::make_backend("cpu", {.threads = 1});
  for (StepClass step : {StepClass::prefill, StepClass::decode}) {
    for (int64_t at : {0, 17, 31, 300}) {
      SCOPED_TRACE(fmt::format("{} at {}", step == StepClass::prefill ? "prefill" : "decode", at));
      EXPECT_FALSE(std::isfinite(product_with(*device, step, 320, NAN, at)));
      EXPECT_FALSE(std::isfinite(product_with(*device, step, 320, INFINITY, at)));
      EXPECT_FALSE(std::isfinite(product_with(*device, step, 320, -INFINITY, at)));
      EXPECT_TRUE(std::isfinite(product_with(*device, step, 320, 1e30F, at)));
      EXPECT_TRUE(std::isfinite(product_with(*device, step, 320, 1e-40F, at)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockProducts, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (std::string_view name : cpu::simd_target_names()) names.emplace_back(name);
                           return names;
                         }()),
                         [](const auto& info) { return target_word(info.param); });

}  // namespace
}  // namespace ingot
