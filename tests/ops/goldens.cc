// The ops' references against PyTorch and transformers (tools/op_goldens.py): kernels are compared with the
// references, and this compares the references with the outside.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "base/mapped_file.h"
#include "format/safetensors.h"
#include "graph/ops/attention.h"
#include "graph/ops/gelu.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/linear.h"
#include "graph/ops/matmul.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/rope.h"
#include "graph/ops/rope_table.h"
#include "graph/ops/silu.h"
#include "graph/ops/softmax.h"
#include "opcases/op_case.h"
#include "opcases/step.h"
#include "ops/run_case.h"

namespace ingot {
namespace {

using graph::Value;
using opcases::CaseBuilder;
using opcases::kEpsilon;

class OpGoldens : public testing::Test {
 protected:
  Array golden(std::string_view name) const {
    for (const format::Tensor& tensor : file_.tensors) {
      if (tensor.name != name) continue;
      return Array::copy(tensor.bytes.data(), tensor.bytes.size(), tensor.dtype, Shape(tensor.shape));
    }
    ADD_FAILURE() << "no golden " << name;
    return {};
  }

  /// Runs the reference of the op that `append` builds from these goldens as operands.
  std::vector<float> reference(
      const std::vector<Array>& operands,
      const std::function<Value(graph::Graph&, const std::vector<Value>&)>& append) const {
    const opcases::OpCase op_case{.name = "golden", .dims = {}, .build = [&](CaseBuilder& b) {
                                    std::vector<Value> values;
                                    for (const Array& array : operands) values.push_back(b.weight(array));
                                    return append(b.graph(), values);
                                  }};
    const std::vector<std::byte> bytes = run_reference(build(op_case));
    std::vector<float> result(bytes.size() / sizeof(float));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }

  void expect_golden(const std::vector<float>& found, std::string_view name, double absolute,
                     double relative) const {
    const Array expected = golden(name);
    ASSERT_EQ(static_cast<int64_t>(found.size()), expected.elements()) << name;
    for (size_t i = 0; i < found.size(); ++i) {
      const double e = expected.data<float>()[i];
      ASSERT_LE(std::abs(found[i] - e), absolute + relative * std::abs(e))
          << name << "[" << i << "]: expected " << e;
    }
  }

  const MappedFile mapped_{std::string(INGOT_SOURCE_DIR) + "/tests/ops/goldens.safetensors"};
  const format::Safetensors file_ = format::parse_safetensors(mapped_.bytes(), mapped_.path());
};

// Both sides compute in f64 and round once; libm and PyTorch may differ in the last place of f64.
constexpr double kRounding = kEpsilon;
// Where 1 + erf(x) or 1 + tanh(x) cancels, f64 itself is good to 1e-16 of 1 only.
constexpr double kCancels = 1e-13;

TEST_F(OpGoldens, ActivationsEqualPyTorch) {
  const Array x = golden("x");
  expect_golden(reference({x}, [](auto& g, auto& v) { return gelu(g, v[0], graph::GeluKind::erf); }),
                "gelu_erf", kCancels, kRounding);
  expect_golden(reference({x}, [](auto& g, auto& v) { return gelu(g, v[0], graph::GeluKind::tanh); }),
                "gelu_tanh", kCancels, kRounding);
  expect_golden(reference({x}, [](auto& g, auto& v) { return silu(g, v[0]); }), "silu", 1e-37, kRounding);
}

TEST_F(OpGoldens, NormsAndSoftmaxEqualPyTorch) {
  const Array x = golden("norm.x");
  const Array w = golden("norm.weight");
  const Array b = golden("norm.bias");
  // eps is 1e-5F here and 1e-5 there: 3e-13 apart, far below a rounding.
  expect_golden(reference({x}, [](auto& g, auto& v) { return softmax(g, v[0]); }), "softmax", 0, kRounding);
  expect_golden(reference({x, w, b}, [](auto& g, auto& v) { return layer_norm(g, v[0], v[1], v[2], 1e-5F); }),
                "layer_norm", 1e-7, kRounding);
  expect_golden(reference({x, w}, [](auto& g, auto& v) { return rms_norm(g, v[0], v[1], 1e-6F); }),
                "rms_norm", 0, kRounding);
}

TEST_F(OpGoldens, LinearEqualsPyTorchInBothOrdersAndEveryWeightType) {
  const Array x = golden("linear.x");
  const Array bias = golden("linear.bias");
  for (const char* type : {"f32", "f16", "bf16"}) {
    const Array weight = golden(fmt::format("linear.weight.{}", type));
    const std::string expected = fmt::format("linear.{}", type);
    expect_golden(reference({x, weight, bias}, [](auto& g, auto& v) { return linear(g, v[0], v[1], v[2]); }),
                  expected, 1e-6, kRounding);
    Array flipped = Array::empty(weight.dtype(), {weight.shape()[1], weight.shape()[0]});
    const auto size = static_cast<int64_t>(dtype_bytes(weight.dtype()));
    for (int64_t n = 0; n < weight.shape()[0]; ++n) {
      for (int64_t k = 0; k < weight.shape()[1]; ++k) {
        std::memcpy(flipped.mutable_raw() + (k * weight.shape()[0] + n) * size,
                    weight.raw() + (n * weight.shape()[1] + k) * size, static_cast<size_t>(size));
      }
    }
    expect_golden(
        reference({x, flipped, bias},
                  [](auto& g, auto& v) { return linear(g, v[0], v[1], v[2], graph::WeightOrder::in_out); }),
        expected, 1e-6, kRounding);
  }
}

TEST_F(OpGoldens, MatmulEqualsPyTorch) {
  expect_golden(reference({golden("matmul.a"), golden("matmul.b")},
                          [](auto& g, auto& v) { return matmul(g, v[0], v[1]); }),
                "matmul", 1e-6, kRounding);
}

TEST_F(OpGoldens, RopeFrequenciesAndTablesEqualTransformersForEveryScaling) {
  using Kind = graph::RopeScaling::Kind;
  const std::vector<std::pair<std::string, graph::RopeScaling>> scalings{
      {"default", {}},
      {"linear", {.kind = Kind::linear, .factor = 4}},
      {"llama3", {.kind = Kind::llama3, .theta = 500000, .factor = 32, .original_positions = 8192}},
      {"yarn", {.kind = Kind::yarn, .theta = 1000000, .factor = 4, .original_positions = 32768}},
      {"yarn_untruncated",
       {.kind = Kind::yarn,
        .factor = 16,
        .original_positions = 4096,
        .beta_fast = 24,
        .beta_slow = 2,
        .truncate = false}},
  };
  for (const auto& [name, given] : scalings) {
    SCOPED_TRACE(name);
    graph::RopeScaling scaling = given;
    scaling.attention_factor = golden(fmt::format("rope.{}.attention", name)).data<float>()[0];
    // transformers scales the frequencies in f32, here f64 is rounded once. Where YaRN's ramp nears its end,
    // the small share that keeps its frequency cancels, and counts up to `factor` times: 16 roundings, and
    // some.
    expect_golden(rope_frequencies(scaling, 64), fmt::format("rope.{}.frequencies", name), 0, 20 * kEpsilon);
    const std::vector<float> table = reference(
        {golden("rope.positions")}, [&](auto& g, auto& v) { return rope_table(g, v[0], scaling, 64); });
    // An angle of 1e5 radians moves by 1e5 times the frequency's rounding, so far positions differ by that
    // much.
    const Array expected = golden(fmt::format("rope.{}.table", name));
    const Array positions = golden("rope.positions");
    for (int64_t row = 0; row < positions.elements(); ++row) {
      for (int64_t i = 0; i < 64; ++i) {
        const double angle = positions.data<int32_t>()[row] *
                             static_cast<double>(rope_frequencies(scaling, 64)[static_cast<size_t>(i % 32)]);
        const auto at = static_cast<size_t>(row * 64 + i);
        ASSERT_NEAR(table[at], expected.data<float>()[at], (2 + 20 * angle) * kEpsilon) << row << ", " << i;
      }
    }
  }
}

TEST_F(OpGoldens, RopeEqualsComplexRotationInBothStyles) {
  const std::vector<Array> operands{golden("rope.x"), golden("rope.default.table")};
  expect_golden(
      reference(operands, [](auto& g, auto& v) { return rope(g, v[0], v[1], graph::RopeStyle::half); }),
      "rope.half", 4 * kEpsilon, kRounding);
  expect_golden(
      reference(operands,
                [](auto& g, auto& v) { return rope(g, v[0], v[1], graph::RopeStyle::interleaved); }),
      "rope.interleaved", 4 * kEpsilon, kRounding);
}

TEST_F(OpGoldens, KvWriteThenAttentionEqualsScaledDotProductAttention) {
  const Array q = golden("attention.q");
  const int64_t tokens = q.shape()[0];
  constexpr int64_t kPage = 16;
  // Two steps of one sequence over scattered pages: the first 23 tokens are written, then the rest.
  const opcases::PagedStep step({{tokens, tokens}}, kPage);
  Array keys = Array::zeros(DType::f32, {step.dims[graph::Symbol::cache_pages], 2, kPage, 12});
  Array values = Array::zeros(DType::f32, keys.shape());
  const auto write = [&](Array& cache, const Array& rows) {
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 23}, {23, tokens}}) {
      const std::span<const int32_t> slots(step.slots.data() + begin, static_cast<size_t>(end - begin));
      const std::vector<float> next =
          reference({cache, rows.rows(begin, end), Array::from(slots, Shape{end - begin})},
                    [](auto& g, auto& v) { return kv_write(g, v[0], v[1], v[2]); });
      cache = Array::from(std::span<const float>(next), cache.shape());
    }
  };
  write(keys, golden("attention.k"));
  write(values, golden("attention.v"));
  for (int64_t window : {0, 1, 9}) {
    const auto i32 = [](const std::vector<int32_t>& v, Shape shape) {
      return Array::from(std::span<const int32_t>(v), shape);
    };
    const std::vector<float> found = reference(
        {q, keys, values, i32(step.seq_start, {2}), i32(step.context_len, {1}),
         i32(step.block_table, {1, static_cast<int64_t>(step.block_table.size())})},
        [&](auto& g, auto& v) {
          return attention(g, v[0], v[1], v[2], {v[3], v[4], v[5]}, 1.0F / std::sqrt(12.0F), window);
        });
    // The scale is f32 here, f64 there: scores of up to 15 differ by 15 * 3e-8.
    expect_golden(found, fmt::format("attention.window{}", window), 2e-6, kRounding);
  }
}

}  // namespace
}  // namespace ingot
