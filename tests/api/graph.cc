// The graph API: what each op computes, against plain loops over the same arrays.
#include "ingot/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <random>

namespace ingot {
namespace {

Array random_array(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  Array array = Array::empty(DType::f32, shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    array.mutable_data<float>()[i] = static_cast<float>(static_cast<double>(random()) * 0x1p-31 - 1);
  return array;
}

Array integers(const std::vector<int32_t>& values) {
  return Array::from(std::span<const int32_t>(values), Shape{static_cast<int64_t>(values.size())});
}

/// Runs a graph of one input x and one output.
Array result_of(const Array& x, const std::function<Value(Graph&, const Value&)>& build) {
  Graph g;
  std::vector<Dim> dims;
  for (int64_t length : x.shape().lengths()) dims.emplace_back(length);
  const Value in = g.input("x", x.dtype(), dims);
  g.output("y", build(g, in));
  return g.compile().run({{"x", x}})["y"];
}

/// Expects element i of `array` to be definition(i), which counts in doubles.
void expect_elements(const Array& array, const Shape& shape, const std::function<double(int64_t)>& definition,
                     double tolerance = 1e-5) {
  ASSERT_EQ(array.shape(), shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    ASSERT_NEAR(array.data<float>()[i], definition(i), tolerance) << "element " << i;
}

double gelu_of(double x) {
  return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
}

TEST(GraphApi, GeluOfALinearIsTenLines) {
  const Array weights = random_array({24, 10}, 1);
  const Array bias = random_array({10}, 2);
  const Array rows = random_array({3, 24}, 3);

  Graph g;
  auto x = g.input("x", DType::f32, {Dim::any(), 24});
  auto w = g.constant(weights);
  auto b = g.constant(bias);
  g.output("y", gelu(matmul(x, w) + b));
  Program program = g.compile({.most = 64});
  const Array y = program.run({{"x", rows}})["y"];

  expect_elements(y, {3, 10}, [&](int64_t i) {
    double sum = bias.data<float>()[i % 10];
    for (int64_t k = 0; k < 24; ++k)
      sum +=
          static_cast<double>(rows.data<float>()[i / 10 * 24 + k]) * weights.data<float>()[k * 10 + i % 10];
    return gelu_of(sum);
  });
}

TEST(GraphApi, AddAndMulTakeARowAScalarAndANumberOnEitherSide) {
  const Array x = random_array({4, 6}, 1);
  const Array row = random_array({6}, 2);
  const float* a = x.data<float>();
  const float* r = row.data<float>();
  const Array half = Array::from(std::vector<float>{0.5F}, Shape{});
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return v + g.constant(row); }), {4, 6},
                  [&](int64_t i) { return a[i] + r[i % 6]; });
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return g.constant(row) * v; }), {4, 6},
                  [&](int64_t i) { return a[i] * r[i % 6]; });
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return g.constant(half) * v; }), {4, 6},
                  [&](int64_t i) { return 0.5 * a[i]; });
  expect_elements(result_of(x, [&](Graph&, auto& v) { return 2.0F * v * v + 1.0F; }), {4, 6},
                  [&](int64_t i) { return 2.0 * a[i] * a[i] + 1; });
  expect_elements(result_of(random_array({}, 5), [&](Graph&, auto& v) { return 0.0F * v + 3.0F; }), {},
                  [&](int64_t) { return 3; });
}

TEST(GraphApi, MatmulTakesBatchesAndOneMatrixForAllOfThem) {
  const Array x = random_array({2, 3, 4}, 1);
  const Array batch = random_array({2, 4, 5}, 2);
  const Array one = random_array({4, 5}, 3);
  const auto product = [&](const Array& b, bool is_batch) {
    return [&x, &b, is_batch](int64_t i) {
      double sum = 0;
      for (int64_t k = 0; k < 4; ++k) {
        sum += static_cast<double>(x.data<float>()[i / 5 * 4 + k]) *
               b.data<float>()[(is_batch ? i / 15 * 20 : 0) + k * 5 + i % 5];
      }
      return sum;
    };
  };
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return matmul(v, g.constant(batch)); }), {2, 3, 5},
                  product(batch, true));
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return matmul(v, g.constant(one)); }), {2, 3, 5},
                  product(one, false));
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return matmul(v, 1.0F * g.constant(one)); }),
                  {2, 3, 5}, product(one, false));
}

TEST(GraphApi, MatmulOfAVariableLengthOnBothSidesIsAProductOfRows) {
  const Array x = random_array({3, 4}, 1);
  Graph g;
  const Value v = g.input("x", DType::f32, {Dim::any(), 4});
  g.output("y", matmul(v, transpose(v, {1, 0})));
  const Array y = g.compile({.most = 2}).run({{"x", x}})["y"];
  expect_elements(y, {3, 3}, [&](int64_t i) {
    double sum = 0;
    for (int64_t k = 0; k < 4; ++k)
      sum += static_cast<double>(x.data<float>()[i / 3 * 4 + k]) * x.data<float>()[i % 3 * 4 + k];
    return sum;
  });
}

TEST(GraphApi, AMatmulWithAConstantIsALinearOfTheRightOrder) {
  Graph g;
  const Value x = g.input("x", DType::f32, {Dim::any(), 4});
  const Value w = g.constant(random_array({4, 5}, 1), "w");
  const Value t = g.constant(random_array({5, 4}, 2), "t");
  g.output("a", matmul(x, w));
  g.output("b", matmul(x, transpose(t, {1, 0})));
  g.output("c", linear(x, transpose(w, {1, 0})));
  EXPECT_EQ(g.compile({.most = 1}).to_text(GraphStage::built),
            "%0 = input 'x' : f32[T, 4]\n"
            "%1 = weight 'w' : f32[4, 5]\n"
            "%2 = weight 't' : f32[5, 4]\n"
            "%3 = linear(%0, %1; weight=in_out) : f32[T, 5]\n"
            "%4 = linear(%0, %2) : f32[T, 5]\n"
            "%5 = linear(%0, %1; weight=in_out) : f32[T, 5]\n"
            "output 'a' = %3\n"
            "output 'b' = %4\n"
            "output 'c' = %5\n");
}

TEST(GraphApi, LinearTakesBothOrdersABiasAndLeadingDimensions) {
  const Array x = random_array({2, 3, 8}, 1);
  const Array out_in = random_array({5, 8}, 2);
  const Array in_out = random_array({8, 5}, 3);
  const Array bias = random_array({5}, 4);
  const auto sum = [&](int64_t i, bool order_in_out, bool has_bias) {
    double total = has_bias ? bias.data<float>()[i % 5] : 0;
    for (int64_t k = 0; k < 8; ++k) {
      total += static_cast<double>(x.data<float>()[i / 5 * 8 + k]) *
               (order_in_out ? in_out.data<float>()[k * 5 + i % 5] : out_in.data<float>()[i % 5 * 8 + k]);
    }
    return total;
  };
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return linear(v, g.constant(out_in)); }), {2, 3, 5},
                  [&](int64_t i) { return sum(i, false, false); });
  expect_elements(result_of(x,
                            [&](Graph& g, auto& v) {
                              return linear(v, g.constant(in_out), g.constant(bias), WeightOrder::in_out);
                            }),
                  {2, 3, 5}, [&](int64_t i) { return sum(i, true, true); });
  expect_elements(
      result_of(x.reshape({6, 8}).rows(2, 3).reshape({8}),
                [&](Graph& g, auto& v) { return linear(v, g.constant(out_in), g.constant(bias)); }),
      {5}, [&](int64_t i) { return sum(10 + i, false, true); });
}

TEST(GraphApi, WeightsMayBeOfHalfPrecision) {
  const Array x = random_array({2, 3}, 1);
  // 1, -2, 0.5 in bf16, the upper halves of their f32.
  const Array w = Array::from(std::span<const uint16_t>(std::vector<uint16_t>{0x3f80, 0xc000, 0x3f00}),
                              DType::bf16, {3, 1});
  const float* a = x.data<float>();
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return matmul(v, g.constant(w)); }), {2, 1},
                  [&](int64_t i) { return a[3 * i] - 2.0 * a[3 * i + 1] + 0.5 * a[3 * i + 2]; });
}

TEST(GraphApi, ActivationsAndSoftmax) {
  const Array x = random_array({4, 6}, 1);
  const float* a = x.data<float>();
  expect_elements(result_of(x, [](Graph&, auto& v) { return gelu(v); }), {4, 6},
                  [&](int64_t i) { return gelu_of(a[i]); });
  expect_elements(result_of(x, [](Graph&, auto& v) { return gelu_tanh(v); }), {4, 6}, [&](int64_t i) {
    const double v = a[i];
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
  });
  expect_elements(result_of(x, [](Graph&, auto& v) { return silu(v); }), {4, 6},
                  [&](int64_t i) { return a[i] / (1 + std::exp(-static_cast<double>(a[i]))); });
  expect_elements(result_of(x, [](Graph&, auto& v) { return softmax(v); }), {4, 6}, [&](int64_t i) {
    double sum = 0;
    for (int64_t k = 0; k < 6; ++k) sum += std::exp(a[i / 6 * 6 + k]);
    return std::exp(a[i]) / sum;
  });
}

TEST(GraphApi, Norms) {
  const Array x = random_array({2, 2, 8}, 1);
  const Array w = random_array({8}, 2);
  const Array b = random_array({8}, 3);
  const auto moment = [&](int64_t i, double center) {
    double sum = 0;
    for (int64_t k = 0; k < 8; ++k) sum += std::pow(x.data<float>()[i / 8 * 8 + k] - center, 2);
    return sum / 8;
  };
  expect_elements(result_of(x, [&](Graph& g, auto& v) { return rms_norm(v, g.constant(w), 1e-3F); }),
                  {2, 2, 8}, [&](int64_t i) {
                    return x.data<float>()[i] / std::sqrt(moment(i, 0) + 1e-3) * w.data<float>()[i % 8];
                  });
  expect_elements(
      result_of(x, [&](Graph& g, auto& v) { return layer_norm(v, g.constant(w), g.constant(b), 1e-3F); }),
      {2, 2, 8}, [&](int64_t i) {
        double mean = 0;
        for (int64_t k = 0; k < 8; ++k) mean += x.data<float>()[i / 8 * 8 + k] / 8;
        return (x.data<float>()[i] - mean) / std::sqrt(moment(i, mean) + 1e-3) * w.data<float>()[i % 8] +
               b.data<float>()[i % 8];
      });
}

TEST(GraphApi, OpsThatMoveElements) {
  const Array x = random_array({2, 3, 4}, 1);
  const float* a = x.data<float>();
  expect_elements(
      result_of(x,
                [](Graph&, auto& v) {
                  return reshape(v, {4, 6});
                }),
      {4, 6}, [&](int64_t i) { return a[i]; }, 0);
  expect_elements(
      result_of(x,
                [](Graph&, auto& v) {
                  return transpose(v, {2, 0, 1});
                }),
      {4, 2, 3}, [&](int64_t i) { return a[i / 3 % 2 * 12 + i % 3 * 4 + i / 6]; }, 0);
  expect_elements(
      result_of(x, [](Graph&, auto& v) { return slice(v, -1, 1, 3); }), {2, 3, 2},
      [&](int64_t i) { return a[i / 2 * 4 + 1 + i % 2]; }, 0);
  expect_elements(
      result_of(x,
                [](Graph&, auto& v) {
                  return concat({v, slice(v, 1, 0, 1)}, -2);
                }),
      {2, 4, 4}, [&](int64_t i) { return a[i / 16 * 12 + (i / 4 % 4 == 3 ? 0 : i / 4 % 4) * 4 + i % 4]; }, 0);
  expect_elements(result_of(x, [](Graph&, auto& v) { return slice(v, 0, 1, 1); }), {0, 3, 4}, {});
}

TEST(GraphApi, EmbeddingPicksRows) {
  const Array table = random_array({5, 3}, 1);
  const Array y =
      result_of(integers({4, 0, 4}), [&](Graph& g, auto& v) { return embedding(v, g.constant(table)); });
  const int64_t rows[] = {4, 0, 4};
  expect_elements(
      y, {3, 3}, [&](int64_t i) { return table.data<float>()[rows[i / 3] * 3 + i % 3]; }, 0);
}

TEST(GraphApi, RopeRotatesPairsByThePositionsAngles) {
  const Array x = random_array({2, 3, 6}, 1);
  for (const RopeStyle style : {RopeStyle::half, RopeStyle::interleaved}) {
    const Array y = result_of(x, [&](Graph& g, auto& v) {
      return rope(v, rope_table(g.constant(integers({0, 7})), 4, {.theta = 100}), style);
    });
    expect_elements(y, {2, 3, 6}, [&](int64_t i) {
      const int64_t d = i % 6;
      if (d >= 4) return static_cast<double>(x.data<float>()[i]);
      const bool is_half = style == RopeStyle::half;
      const int64_t pair = is_half ? d % 2 : d / 2;
      const bool is_second = is_half ? d >= 2 : d % 2 == 1;
      const int64_t to_partner = (is_half ? 2 : 1) * (is_second ? -1 : 1);
      const double angle = (i / 18 == 0 ? 0 : 7) * std::pow(100.0, -static_cast<double>(pair) / 2);
      return std::cos(angle) * x.data<float>()[i] +
             (is_second ? 1 : -1) * std::sin(angle) * x.data<float>()[i + to_partner];
    });
  }
}

TEST(GraphApi, ArraysWithoutElementsGoThroughEveryOp) {
  Graph g;
  const Value x = g.input("x", DType::f32, {Dim::any(), 0});
  const Value none = g.constant(Array::zeros(DType::f32, {0}));
  const Value bias = g.constant(random_array({3}, 1));
  g.output("activations", softmax(gelu(silu(x)) * 2.0F + none));
  g.output("norms", layer_norm(rms_norm(x, none), none, none));
  g.output("linear", linear(x, g.constant(Array::zeros(DType::f32, {3, 0})), bias));
  g.output("fused", gelu(matmul(x, g.constant(Array::zeros(DType::f32, {0, 3}))) + bias));
  g.output("matmul", matmul(x, transpose(x, {1, 0})));
  g.output("moved", concat({reshape(transpose(x, {1, 0}), {Dim::any(), 0}), slice(x, 1, 0, 0)}, 1));
  g.output("to nothing",
           linear(g.constant(random_array({2, 4}, 2)), g.constant(Array::zeros(DType::f32, {0, 4}))));
  for (const int64_t most : {1, 32}) {
    for (const std::vector<std::string>& off :
         {std::vector<std::string>{}, std::vector<std::string>{"all"}}) {
      Program program = g.compile({.most = most, .options = {.no_fuse = off}});
      for (const int64_t rows : {0, 1, 2}) {
        const Outputs out = program.run({{"x", Array::zeros(DType::f32, {rows, 0})}});
        EXPECT_EQ(out["activations"].shape(), (Shape{rows, 0}));
        EXPECT_EQ(out["norms"].shape(), (Shape{rows, 0}));
        EXPECT_EQ(out["moved"].shape(), (Shape{rows, 0}));
        EXPECT_EQ(out["to nothing"].shape(), (Shape{2, 0}));
        expect_elements(out["matmul"], {rows, rows}, [](int64_t) { return 0; });
        const Array row = random_array({3}, 1);
        expect_elements(out["linear"], {rows, 3}, [&](int64_t i) { return row.data<float>()[i % 3]; });
        expect_elements(out["fused"], {rows, 3},
                        [&](int64_t i) { return gelu_of(row.data<float>()[i % 3]); });
      }
    }
  }
}

TEST(GraphApi, ValuesTellTheirTypes) {
  Graph g;
  const Value x = g.input("x", DType::f32, {2 * Dim::any() + 1, 4});
  EXPECT_EQ(x.dtype(), DType::f32);
  EXPECT_EQ(x.dims(), (std::vector<Dim>{2 * Dim::any() + 1, 4}));
  EXPECT_EQ(to_string(x), "f32[2T+1, 4]");
  EXPECT_EQ(to_string(2 * Dim::any() + 1), "2T+1");
  EXPECT_EQ((2 * Dim::any() + 1).at(5), 11);
  EXPECT_EQ(to_string(concat({x, x}, 0)), "f32[4T+2, 4]");
  EXPECT_EQ(g.to_text(), "%0 = input 'x' : f32[2T+1, 4]\n%1 = concat(%0, %0; axis=0) : f32[4T+2, 4]\n");
}

TEST(GraphApi, WhatNoOutputNeedsIsNotRun) {
  Graph g;
  const Value x = g.input("x", DType::f32, {4});
  silu(x);
  g.output("y", gelu(x));
  const Program program = g.compile();
  EXPECT_EQ(program.to_text(GraphStage::built),
            "%0 = input 'x' : f32[4]\n%1 = gelu(%0; erf) : f32[4]\noutput 'y' = %1\n");
  EXPECT_EQ(program.statistics().launches, 1);
}

}  // namespace
}  // namespace ingot
