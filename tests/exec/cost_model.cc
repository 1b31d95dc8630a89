#include "exec/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/ops/add.h"
#include "graph/ops/attention.h"
#include "graph/ops/linear.h"
#include "graph/ops/linear_fused.h"

namespace ingot::exec {
namespace {

using graph::Tensor;

backend::Kernel kernel(std::string_view op, std::string_view name) {
  return {.op = op, .name = name, .supports = nullptr, .workspace_bytes = nullptr, .launch = nullptr};
}
Tensor tensor(DType dtype, const Shape& shape) {
  return {.data = nullptr, .dtype = dtype, .shape = shape};
}

/// x [rows, in] times a bf16 weight [out, in].
struct Linear {
  graph::LinearOp op{graph::WeightOrder::out_in};
  std::vector<Tensor> inputs;
  Tensor output;

  Linear(int64_t rows, int64_t in, int64_t out, DType weight = DType::bf16)
      : inputs{tensor(DType::f32, {rows, in}), tensor(weight, {out, in})},
        output(tensor(DType::f32, {rows, out})) {}
  double predict(const DeviceCosts& costs, double working_set = 0, std::string_view op_name = "linear",
                 std::string_view name = "linear_decode") const {
    return predict_us(costs, kernel(op_name, name), op, inputs, output, working_set);
  }
};

TEST(RateCurve, InterpolatesOverTheLogarithmAndStaysFlatOutside) {
  const RateCurve curve{{{.size = 100, .rate = 10}, {.size = 10000, .rate = 30}}};
  EXPECT_DOUBLE_EQ(curve.at(1), 10);
  EXPECT_DOUBLE_EQ(curve.at(100), 10);
  EXPECT_NEAR(curve.at(1000), 20, 1e-9);
  EXPECT_DOUBLE_EQ(curve.at(10000), 30);
  EXPECT_DOUBLE_EQ(curve.at(1e12), 30);
  EXPECT_DOUBLE_EQ(RateCurve{}.at(5), 0);
}

TEST(CostModel, OfAUniformDeviceIsOverheadPlusTheSlowerOfBytesAndFlops) {
  const DeviceCosts costs = DeviceCosts::uniform("toy", 5, 10, 100, 0, 0);
  const Linear one_row(1, 1000, 2000);
  const double bytes = 4 * 1000 + 2 * 2000000.0 + 4 * 2000;
  EXPECT_NEAR(one_row.predict(costs), 5 + bytes / 10e3, 1e-9);
  const Linear many_rows(512, 1000, 2000);
  EXPECT_NEAR(many_rows.predict(costs), 5 + 2.0 * 512 * 1000 * 2000 / 100e3, 1e-9);
}

TEST(CostModel, TakesTheKernelsOwnRatesByWeightType) {
  DeviceCosts costs = DeviceCosts::uniform("toy", 5, 10, 100, 0, 0);
  costs.kernels.push_back({.op = "linear",
                           .kernel = "linear_decode",
                           .weight = DType::bf16,
                           .layout = "out_in",
                           .launch_us = 2,
                           .gbps = {{{.size = 1, .rate = 40}}},
                           .gflops = {}});
  const double bytes = 4 * 1000 + 2 * 2000000.0 + 4 * 2000;
  EXPECT_NEAR(Linear(1, 1000, 2000).predict(costs), 2 + bytes / 40e3, 1e-9);
  const double f32_bytes = bytes + 2 * 2000000.0;
  EXPECT_NEAR(Linear(1, 1000, 2000, DType::f32).predict(costs), 5 + f32_bytes / 10e3, 1e-9);
}

TEST(CostModel, FusedLinearTakesTheRatesOfTheLinear) {
  DeviceCosts costs = DeviceCosts::uniform("toy", 5, 10, 100, 0, 0);
  for (const char* name : {"linear_decode", "linear_prefill"}) {
    costs.kernels.push_back({.op = "linear",
                             .kernel = name,
                             .weight = DType::bf16,
                             .layout = "out_in",
                             .launch_us = std::string_view(name) == "linear_decode" ? 2.0 : 3.0,
                             .gbps = {{{.size = 1, .rate = 40}}},
                             .gflops = {}});
  }
  graph::LinearForm form;
  form.parts.resize(2);
  form.gated = true;
  form.activation = graph::Activation::silu;
  const graph::FusedLinearOp glu(form);
  const std::vector<Tensor> inputs{tensor(DType::f32, {1, 8}), tensor(DType::bf16, {4, 8}),
                                   tensor(DType::bf16, {4, 8})};
  const KernelCosts* found = find_costs(costs, kernel("linear_glu", "linear_glu_decode"), glu, inputs);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->kernel, "linear_decode");
  found = find_costs(costs, kernel("linear_glu", "linear_glu_prefill"), glu, inputs);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->kernel, "linear_prefill");
}

TEST(CostModel, WeightsComeAtTheBandwidthOfTheWholeSteps) {
  DeviceCosts costs = DeviceCosts::uniform("toy", 0, 1, 1e9, 0, 0);
  costs.gbps.points = {{.size = 1e6, .rate = 100}, {.size = 1e9, .rate = 10}};
  const Linear linear(1, 1000, 500);
  EXPECT_NEAR(linear.predict(costs, 1e9) / linear.predict(costs, 0), 10, 0.1);
}

TEST(CostModel, ActivationsComeAtTheBandwidthOfTheirOwn) {
  DeviceCosts costs = DeviceCosts::uniform("toy", 0, 1, 1e9, 0, 0);
  costs.gbps.points = {{.size = 1e6, .rate = 100}, {.size = 1e9, .rate = 10}};
  graph::Graph graph;
  const graph::TensorType type{DType::f32, {4, 1000}};
  const graph::Value sum = graph::add(graph, graph.input("a", type), graph.input("b", type));
  const std::vector<Tensor> inputs{tensor(DType::f32, {4, 1000}), tensor(DType::f32, {4, 1000})};
  const auto predict = [&](double working_set) {
    return predict_us(costs, kernel("add", "add"), *graph.node(sum).op, inputs, inputs[0], working_set);
  };
  EXPECT_EQ(predict(1e9), predict(0));
}

/// rows of `sequences` sequences over pages of 32.
Work attention_work(int64_t rows, int64_t sequences, int64_t pages, int64_t window = 0) {
  const graph::AttentionOp op(1, window);
  const Tensor cache = tensor(DType::f32, {100, 2, 32, 16});
  const std::vector<Tensor> inputs{tensor(DType::f32, {rows, 4, 16}),
                                   cache,
                                   cache,
                                   tensor(DType::i32, {sequences + 1}),
                                   tensor(DType::i32, {sequences}),
                                   tensor(DType::i32, {sequences, pages})};
  return work_of(op, inputs, tensor(DType::f32, {rows, 4, 16}));
}

TEST(CostModel, CountsOfAttentionWhatCausalRowsSee) {
  const double full = 4.0 * 4 * 16;  // flops of one row and key
  EXPECT_NEAR(attention_work(1, 1, 4).flops, full * 128, 1e-6);
  EXPECT_NEAR(attention_work(128, 1, 4).flops, full * 128 * 129 / 2, 1e-6);
  EXPECT_NEAR(attention_work(128, 1, 40).flops, full * 128 * (1280 - 63.5), 1e-6);
  EXPECT_NEAR(attention_work(3, 3, 4).flops, full * 3 * 128, 1e-6);
  EXPECT_NEAR(attention_work(1, 1, 40, 100).flops, full * 100, 1e-6);
}

TEST(CostModel, TransfersPayEachSideThatHasMemoryOfItsOwn) {
  const DeviceCosts host = DeviceCosts::uniform("cpu", 1, 10, 100, 0, 0);
  const DeviceCosts near = DeviceCosts::uniform("near", 1, 10, 100, 10, 20);
  const DeviceCosts far = DeviceCosts::uniform("far", 1, 10, 100, 30, 5);
  EXPECT_DOUBLE_EQ(transfer_us(host, near, 20e6), 10 + 1000);
  EXPECT_DOUBLE_EQ(transfer_us(near, host, 20e6), 10 + 1000);
  EXPECT_DOUBLE_EQ(transfer_us(near, far, 20e6), 10 + 1000 + 30 + 4000);
  EXPECT_DOUBLE_EQ(transfer_us(near, near, 20e6), 0);
  EXPECT_DOUBLE_EQ(transfer_us(host, DeviceCosts::uniform("igpu", 1, 1, 1, 0, 0), 20e6), 0);
}

}  // namespace
}  // namespace ingot::exec
