// The graph API: thousands of random graphs, run with and without fusion, against the ops' definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>

#include "api/graph_builder.h"
#include "dtype/f16.h"
#include "graph/evaluate.h"
#include "ingot/graph.h"

namespace ingot {
namespace {

constexpr int64_t kRowsOfTable = 7;

/// Builds one graph of rows [T, width]; every op of the API that takes such rows may follow any other.
class RandomGraph {
 public:
  explicit RandomGraph(uint32_t seed) : random_(seed) {
    values_.push_back(g.input("x", DType::f32, {Dim::any(), 8}));
    values_.push_back(g.input("z", DType::f32, {Dim::any(), 12}));
    ids_ = g.input("ids", DType::i32, {Dim::any()});
    const size_t ops = 2 + random_() % 16;
    for (size_t i = 0; i < ops; ++i) {
      values_.push_back(next());
      if (random_() % 6 == 0) g.output(std::to_string(i), values_.back());
    }
    g.output("last", values_.back());
  }

  NamedArrays inputs(int64_t length) {
    Array ids = Array::empty(DType::i32, {length});
    for (int64_t i = 0; i < length; ++i)
      ids.mutable_data<int32_t>()[i] = static_cast<int32_t>(random_() % kRowsOfTable);
    return {{"x", array({length, 8})}, {"z", array({length, 12})}, {"ids", ids}};
  }

  Graph g;

 private:
  Array array(const Shape& shape) {
    Array array = Array::empty(DType::f32, shape);
    for (int64_t i = 0; i < array.elements(); ++i)
      array.mutable_data<float>()[i] = static_cast<float>(static_cast<double>(random_()) * 0x1p-31 - 1);
    return array;
  }
  Value weight(const Shape& shape) {
    const Array values = array(shape);
    if (random_() % 3 != 0) return g.constant(values);
    Array half = Array::empty(DType::f16, shape);
    for (int64_t i = 0; i < half.elements(); ++i)
      half.mutable_data<uint16_t>()[i] = random_() % 2 ? 0x3800 : 0xb400;  // 0.5, -0.25
    return g.constant(half);
  }
  Value any() { return values_[random_() % values_.size()]; }
  static int64_t width(const Value& value) { return value.dims()[1].at(0); }
  /// Keeps numbers near 1, so that an absolute tolerance fits all of them.
  Value tamed(const Value& x) { return rms_norm(x, weight({width(x)})); }

  Value next() {
    const Value x = any();
    const int64_t n = width(x);
    const int64_t out = 4 * (1 + static_cast<int64_t>(random_() % 3));
    switch (random_() % 16) {
      case 0:
        return tamed(x + (random_() % 2 ? x : weight({n})));
      case 1:
        return tamed(x * (random_() % 2 ? silu(x) : weight({n})));
      case 2:
        return random_() % 2 ? x * 0.5F : x + 0.25F;
      case 3:
        return tamed(matmul(x, weight({n, out})));
      case 4:
        return tamed(linear(x, weight({out, n}), weight({out})));
      case 5:
        return tamed(gelu(linear(x, weight({out, n})) + weight({out})));
      case 6:
        return tamed(silu(linear(x, weight({n, out}), std::nullopt, WeightOrder::in_out)) *
                     linear(x, weight({n, out}), std::nullopt, WeightOrder::in_out));
      case 7:
        return gelu(x);
      case 8:
        return gelu_tanh(x);
      case 9:
        return softmax(x);
      case 10:
        return layer_norm(x, weight({n}), weight({n}));
      case 11:
        return concat({slice(x, 1, 0, 1), slice(x, -1, n - 3, n), x}, 1);
      case 12:
        return reshape(softmax(reshape(x, {Dim::any(), n / 4, 4})), {Dim::any(), n});
      case 13:
        return embedding(ids_, weight({kRowsOfTable, out}));
      case 14:
        return reshape(rope(reshape(x, {Dim::any(), n / 4, 4}), rope_table(ids_, 4)), {Dim::any(), n});
      default:
        return matmul(softmax(matmul(x, transpose(x, {1, 0}))), x);
    }
  }

  std::mt19937 random_;
  std::vector<Value> values_;
  Value ids_;
};

/// What the definitions of the ops say.
NamedArrays defined(const Graph& g, const NamedArrays& inputs) {
  const graph::Graph& internal = api::Access::builder(g)->graph;
  std::map<std::string, graph::Tensor, std::less<>> bound;
  for (const auto& [name, array] : inputs)
    bound[name] = {const_cast<std::byte*>(array.raw()), array.dtype(), array.shape()};
  graph::DimValues dims;
  dims[graph::Symbol::tokens] = inputs.at("ids").elements();
  std::vector<Array> storage;
  const std::vector<graph::Tensor> values = graph::evaluate(internal, dims, bound, storage);
  NamedArrays results;
  for (const graph::Output& output : internal.outputs()) {
    const graph::Tensor& tensor = values[static_cast<size_t>(output.value.id)];
    results[output.name] = Array::copy(tensor.data, tensor.bytes(), tensor.dtype, tensor.shape);
  }
  return results;
}

void expect_near(const Outputs& found, const NamedArrays& expected, const char* what) {
  ASSERT_EQ(found.arrays().size(), expected.size());
  for (const auto& [name, array] : expected) {
    const Array result = found[name];
    ASSERT_EQ(result.shape(), array.shape()) << what << ", output " << name;
    for (int64_t i = 0; i < array.elements(); ++i) {
      const float value = array.data<float>()[i];
      // rms_norm of small rows magnifies what the kernels round by their own eps of 1e-5: up to 300 times.
      ASSERT_NEAR(result.data<float>()[i], value, 2e-3 * (1 + std::abs(value)))
          << what << ", output " << name;
    }
  }
}

TEST(GraphApi, RandomGraphsGiveWhatTheirOpsAreDefinedToGive) {
  int64_t launches = 0;
  int64_t unfused_launches = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomGraph random(seed);
    Program fused = random.g.compile({.most = 1 + seed % 20});
    Program unfused = random.g.compile({.most = 1 + seed % 20, .options = {.no_fuse = {"all"}}});
    for (int64_t length : {1, 5, 0}) {
      const NamedArrays inputs = random.inputs(length);
      const NamedArrays expected = defined(random.g, inputs);
      expect_near(fused.run(inputs), expected, "fused");
      expect_near(unfused.run(inputs), expected, "unfused");
      if (testing::Test::HasFatalFailure()) {
        FAIL() << random.g.to_text() << "\nfused:\n" << fused.to_text();
      }
    }
    launches += fused.statistics().launches;
    unfused_launches += unfused.statistics().launches;
  }
  EXPECT_LT(launches, unfused_launches);
}

}  // namespace
}  // namespace ingot
