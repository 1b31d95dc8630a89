// Models and graphs on the CPU and the GPU together: layers by hand, and launches where measured costs put
// them.
#include <gmock/gmock.h>

#include <set>

#include "exec/calibrate.h"
#include "exec/runner.h"
#include "gpu/gpu_test.h"
#include "graph/ops/linear.h"
#include "graph/ops/silu.h"
#include "model/golden_checks.h"

namespace ingot {
namespace {

using backend::StepClass;
using exec::Plan;
using graph::Symbol;
using graph::Value;

class GpuAndCpu : public OnGpu<testing::TestWithParam<std::string>> {
 protected:
  std::vector<exec::Device> devices() {
    return {{.backend = cpu_.get(), .name = "cpu"}, {.backend = &gpu(), .name = "cuda"}};
  }
  static CompileOptions layers_on_gpu() {
    CompileOptions options;
    options.layers = {{.first = 1, .last = 1000, .device = "cuda"}};
    return options;
  }
  const std::unique_ptr<backend::Backend> cpu_ = backend::make_backend("cpu", {.threads = 2});
};

TEST_P(GpuAndCpu, LayersOnEachGiveTheLogitsOfTransformers) {
  const Golden golden = read_golden(GetParam());
  serve::Stepper stepper(golden.model, devices(), serve::Head::logits, golden.limits(), layers_on_gpu());
  std::set<int> used;
  for (const exec::PlannedLaunch& launch : stepper.plan(StepClass::decode).launches)
    used.insert(launch.device);
  EXPECT_EQ(used, (std::set<int>{0, 1}));
  check_golden_logits(golden, stepper, golden.prompt_tokens());
  EXPECT_GT(stepper.statistics().transfers, 0U);
}

TEST_P(GpuAndCpu, LayersOnEachGiveTheGreedyTokensOfTransformers) {
  const Golden golden = read_golden(GetParam());
  const serve::Stepper stepper(golden.model, devices(), serve::Head::logits, golden.limits(),
                               layers_on_gpu());
  serve::Engine engine(golden.model, devices(), token_limits(golden), layers_on_gpu());
  check_golden_tokens(golden, engine, allowed_by(golden, stepper, {}));
}

INSTANTIATE_TEST_SUITE_P(Architectures, GpuAndCpu,
                         testing::Values("gpt2/published", "llama/llama3", "qwen2/tied", "qwen3/tied_bf16"),
                         [](const auto& info) { return golden_word(info.param); });

/// A branch of tiny ops and one of a large product, both from the host and back to it.
struct Branches {
  static constexpr int64_t kSmall = 64;
  static constexpr int64_t kLarge = 4096;

  Branches() {
    Array weight = Array::empty(DType::f32, {kLarge, kLarge});
    for (int64_t i = 0; i < weight.elements(); ++i)
      weight.mutable_data<float>()[i] = static_cast<float>(i * 37 % 101 - 50) / 3200;
    const Value small = graph->input("small", {DType::f32, {4, kSmall}});
    graph->output("small out", silu(*graph, silu(*graph, small)));
    const Value large = graph->input("large", {DType::f32, {Symbol::tokens, kLarge}});
    graph->output("large out", silu(*graph, linear(*graph, large, graph->weight("w", weight))));
    dims[Symbol::tokens] = 512;
  }

  std::shared_ptr<graph::Graph> graph = std::make_shared<graph::Graph>();
  graph::DimValues dims;
};

double predicted_us(const Plan& plan) {
  double us = 0;
  for (const exec::PlannedLaunch& launch : plan.launches) us += launch.predicted_us;
  for (const exec::Transfer& transfer : plan.transfers) us += transfer.predicted_us;
  return us;
}

class GpuRouter : public OnGpu<> {};

TEST_F(GpuRouter, PutsSmallAndLargeLaunchesWhereMeasuredCostsAreLeast) {
  const auto cpu = backend::make_backend("cpu", {.threads = 0, .cap_threads = true});
  const exec::Calibration of_cpu = exec::calibrate(*cpu);
  const exec::Calibration of_gpu = exec::calibrate(gpu());
  const exec::Device on_cpu{.backend = cpu.get(), .name = "cpu", .costs = &of_cpu.costs};
  const exec::Device on_gpu{.backend = &gpu(), .name = "cuda", .costs = &of_gpu.costs};
  const Branches branches;
  const auto plan_for = [&](const std::vector<exec::Device>& devices) {
    return exec::compile(branches.graph, branches.dims, StepClass::prefill, devices);
  };
  const auto split = plan_for({on_cpu, on_gpu});
  EXPECT_LE(predicted_us(*split), predicted_us(*plan_for({on_cpu})));
  EXPECT_LE(predicted_us(*split), predicted_us(*plan_for({on_gpu})));
  for (const exec::PlannedLaunch& launch : split->launches) {
    const graph::Node& node = split->graph->node(launch.node);
    const Shape shape = node.type.bind(branches.dims);
    EXPECT_EQ(launch.device, shape[0] == branches.dims[Symbol::tokens] ? 1 : 0)
        << node.op->name() << " " << to_string(shape) << ": " << launch.reason;
  }

  // And computes what the CPU computes.
  const auto outputs_of = [&](const std::vector<exec::Device>& devices, const std::string& name) {
    exec::Runner runner(devices, {plan_for(devices)}, {});
    for (const char* input : {"small", "large"}) {
      const graph::Tensor tensor = runner.input(input);
      for (int64_t i = 0; i < tensor.elements(); ++i)
        tensor.as<float>()[i] = static_cast<float>(i * 13 % 29 - 14) / 14;
    }
    runner.run(0, branches.dims);
    const graph::Tensor found = runner.output(0, name);
    return std::vector<float>(found.f32(), found.f32() + found.elements());
  };
  double rounding = 0;
  for (const exec::PlannedLaunch& launch : split->launches)
    rounding = std::max(rounding, launch.kernel->rounding);
  for (const char* name : {"small out", "large out"}) {
    const std::vector<float> expected = outputs_of({on_cpu}, name);
    const std::vector<float> found = outputs_of({on_cpu, on_gpu}, name);
    ASSERT_EQ(found.size(), expected.size());
    // Sums of 4096 products below 0.016: a deviation of about 0.4 of what is rounded, six of those.
    const double allowed = 2e-4 + 2.4 * rounding;
    for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], allowed) << name << " " << i;
  }
}

TEST_F(GpuRouter, LeavesOneTinyLaunchToTheCpuAndAHugeOneToTheGpuWhateverTheOrderOfPreference) {
  const auto cpu = backend::make_backend("cpu", {.threads = 0, .cap_threads = true});
  const exec::Calibration of_cpu = exec::calibrate(*cpu);
  const exec::Calibration of_gpu = exec::calibrate(gpu());
  const exec::Device on_cpu{.backend = cpu.get(), .name = "cpu", .costs = &of_cpu.costs};
  const exec::Device on_gpu{.backend = &gpu(), .name = "cuda", .costs = &of_gpu.costs};
  const auto device_of = [&](int64_t tokens, const std::vector<exec::Device>& devices) {
    auto graph = std::make_shared<graph::Graph>();
    const Value x = graph->input("x", {DType::f32, {Symbol::tokens, 1024}});
    graph->output("y", linear(*graph, x, graph->weight("w", Array::zeros(DType::bf16, {1024, 1024}))));
    graph::DimValues dims;
    dims[Symbol::tokens] = tokens;
    const auto plan = exec::compile(graph, dims, StepClass::prefill, devices);
    return devices[static_cast<size_t>(plan->launches.at(0).device)].name;
  };
  for (const auto& devices : {std::vector{on_cpu, on_gpu}, std::vector{on_gpu, on_cpu}}) {
    EXPECT_EQ(device_of(4096, devices), "cuda");
    // As the tokens become fewer it changes sides once, if at all.
    bool is_on_cpu = false;
    for (int64_t tokens = 4096; tokens > 0; tokens /= 2) {
      const bool is_now = device_of(tokens, devices) == "cpu";
      EXPECT_TRUE(is_now || !is_on_cpu) << tokens << " tokens";
      is_on_cpu = is_now;
    }
  }
}

}  // namespace
}  // namespace ingot
