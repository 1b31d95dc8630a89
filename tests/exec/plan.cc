// Plans: kernels, storage, and what runners refuse. Random graphs are compared with an evaluator that gives
// every value storage of its own.
#include "exec/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "backend/null/null_backend.h"
#include "backend/registry.h"
#include "exec/check_plan.h"
#include "exec/random_graph.h"
#include "exec/runner.h"
#include "format/hf_folder.h"
#include "graph/evaluate.h"
#include "graph/ops/add.h"
#include "graph/ops/concat.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/silu.h"
#include "graph/ops/slice.h"
#include "graph/ops/transpose.h"
#include "ingot/error.h"
#include "model/model.h"

namespace ingot::exec {
namespace {

namespace fs = std::filesystem;
using backend::StepClass;
using graph::DimValues;
using graph::Graph;
using graph::Symbol;
using graph::Tensor;
using graph::TensorType;
using graph::Value;
using null::NullBackend;
using testing::HasSubstr;

DimValues tokens(int64_t count) {
  DimValues dims;
  dims[Symbol::tokens] = count;
  dims[Symbol::cache_pages] = 3;
  return dims;
}

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::internal, "no error"};
}

/// The storage of a value: two values share it or not at all.
Value root(const Plan& plan, Value value) {
  return plan.places[static_cast<size_t>(value.id)].root;
}

TEST(InPlace, TheLastReaderTakesItsInputsStorage) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value a = add(g, x, x);
  const Value b = silu(g, a);
  g.output("y", b);
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, b), a);
  EXPECT_EQ(plan->bytes[0].arena, 8 * kWidth * sizeof(float));
}

TEST(InPlace, NeverTakesInputsWeightsOrStates) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value w = g.weight("w", Array::zeros(DType::f32, {4, kWidth}));
  const Value s = g.state("s", {DType::f32, {4, kWidth}});
  for (Value value : {x, w, s}) g.output(fmt::format("y{}", value.id), silu(g, value));
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(4), StepClass::decode, backend);
  for (const graph::Output& output : g.outputs()) EXPECT_EQ(root(*plan, output.value), output.value);
}

TEST(InPlace, NotWhileALaterOpReadsTheInput) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value a = add(g, x, x);
  const Value b = silu(g, a);
  g.output("y", add(g, b, a));
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, b), b);
}

TEST(InPlace, NotWhileAViewOfTheInputIsReadLater) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value a = add(g, x, x);
  const Value view = reshape(g, a, {Symbol::tokens, 3, 4});
  const Value b = silu(g, a);
  g.output("y", b);
  g.output("z", silu(g, view));
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, view), a);
  EXPECT_EQ(root(*plan, b), b);
}

TEST(InPlace, NotWhereTheInputIsAnOutput) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value a = add(g, x, x);
  g.output("a", a);
  const Value b = silu(g, a);
  g.output("b", b);
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, b), b);
}

TEST(InPlace, NotWhereBothInputsAreTheSameStorage) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value a = silu(g, x);
  const Value view = reshape(g, a, {Symbol::tokens, kWidth});
  const Value b = mul(g, a, view);
  g.output("y", b);
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, b), b);
}

TEST(Plan, AReshapeAndACacheVersionShareTheirInputsStorage) {
  Graph g;
  const Value cache = g.state("keys", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
  const Value rows = g.input("rows", {DType::f32, {Symbol::tokens, 1, 4}});
  const Value slots = g.input("slots", {DType::i32, {Symbol::tokens}});
  const Value written = kv_write(g, cache, rows, slots);
  const Value view = reshape(g, written, {Symbol::cache_pages, 128});
  g.output("y", view);
  NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(2), StepClass::decode, backend);
  EXPECT_EQ(root(*plan, written), cache);
  EXPECT_EQ(root(*plan, view), cache);
  EXPECT_EQ(plan->bytes[0].arena, 0U);
  ASSERT_EQ(plan->launches.size(), 1U) << "a view launches nothing";
  EXPECT_EQ(plan->launches[0].node, written);
}

TEST(Plan, OutputsThatOnlyTheNextLaunchReadsAreKnown) {
  Graph g;
  const Value x = g.input("x", {DType::f32, {Symbol::tokens, kWidth}});
  const Value once = silu(g, x);
  const Value view = reshape(g, once, {Symbol::tokens, kWidth});
  const Value twice = add(g, view, view);
  const Value later = silu(g, twice);
  const Value given = add(g, twice, later);
  g.output("given", given);
  g.output("y", silu(g, given));
  const NullBackend backend;
  const auto plan = compile(std::make_shared<Graph>(g), tokens(8), StepClass::decode, backend);
  std::vector<bool> found;
  for (const PlannedLaunch& launch : plan->launches) found.push_back(launch.is_for_next);
  EXPECT_EQ(found, (std::vector{true, false, true, false, false}));
}

TEST(Plan, AMissingKernelIsAnErrorThatNamesTheOpTheStepAndTheDevice) {
  Graph g;
  g.output("y", silu(g, g.input("x", {DType::f32, {Symbol::tokens, kWidth}})));
  const NullBackend backend({.name = "null", .without = {"silu"}});
  const Error error =
      error_of([&] { compile(std::make_shared<Graph>(g), tokens(2), StepClass::prefill, backend); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_STREQ(error.what(), "null: no kernel for silu : f32[T, 12] in a prefill step");
}

TEST(Plan, AGraphThatDoesNotVerifyIsRefused) {
  Graph g;
  g.input("x", {DType::f32, {1}});
  g.input("x", {DType::f32, {1}});
  const NullBackend backend;
  EXPECT_EQ(
      error_of([&] { compile(std::make_shared<Graph>(g), tokens(2), StepClass::decode, backend); }).code(),
      ErrorCode::invalid_argument);
}

struct CacheGraph {
  CacheGraph() {
    const Value cache = graph->state("keys", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
    const Value rows = graph->input("rows", {DType::f32, {Symbol::tokens, 1, 4}});
    const Value slots = graph->input("slots", {DType::i32, {Symbol::tokens}});
    graph->output("cache", kv_write(*graph, cache, rows, slots));
    plan = compile(graph, tokens(2), StepClass::decode, backend);
  }
  NullBackend backend;
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  std::shared_ptr<const Plan> plan;
};

TEST(Runner, AMissingStateIsNamed) {
  CacheGraph c;
  const Error error = error_of([&] { Runner(c.backend, {c.plan}, {}); });
  EXPECT_EQ(error.code(), ErrorCode::not_found);
  EXPECT_STREQ(error.what(), "runner: state 'keys' has no storage");
}

TEST(Runner, AStateOfAnotherShapeOrTypeIsNamedWithBoth) {
  CacheGraph c;
  const Error shape = error_of([&] {
    Runner(c.backend, {c.plan}, {{"keys", Array::zeros(DType::f32, {4, 1, 32, 4})}});
  });
  EXPECT_EQ(shape.code(), ErrorCode::invalid_argument);
  EXPECT_STREQ(shape.what(), "runner: state 'keys': expected f32[3, 1, 32, 4], found f32[4, 1, 32, 4]");
  const Error type = error_of([&] {
    Runner(c.backend, {c.plan}, {{"keys", Array::zeros(DType::f16, {3, 1, 32, 4})}});
  });
  EXPECT_STREQ(type.what(), "runner: state 'keys': expected f32[3, 1, 32, 4], found f16[3, 1, 32, 4]");
}

TEST(Runner, UnknownInputsAndOutputsAreNamed) {
  CacheGraph c;
  Runner runner(c.backend, {c.plan}, {{"keys", Array::zeros(DType::f32, {3, 1, 32, 4})}});
  EXPECT_EQ(runner.input("rows").shape, (Shape{2, 1, 4}));
  EXPECT_STREQ(error_of([&] { static_cast<void>(runner.input("keys")); }).what(),
               "runner: no step input is named 'keys'");
  EXPECT_STREQ(error_of([&] { static_cast<void>(runner.output(0, "y")); }).what(),
               "runner: the plan has no output named 'y'");
}

TEST(Runner, AStepBeyondTheBucketIsABrokenInvariant) {
  CacheGraph c;
  Runner runner(c.backend, {c.plan}, {{"keys", Array::zeros(DType::f32, {3, 1, 32, 4})}});
  runner.run(0, tokens(2));
  runner.run(0, tokens(0));
  EXPECT_EQ(c.backend.launches(), 2);
  const Error error = error_of([&] { runner.run(0, tokens(3)); });
  EXPECT_EQ(error.code(), ErrorCode::internal);
  EXPECT_THAT(error.what(), HasSubstr("a step of 3 T in a bucket of 2"));
  EXPECT_EQ(error_of([&] { runner.run(1, tokens(1)); }).code(), ErrorCode::internal);
}

TEST(Plan, RandomGraphsGiveWhatStorageOfTheirOwnGives) {
  std::mt19937 random(11);
  const auto backend = backend::make_backend("cpu", {.threads = 2});
  int shared = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto graph = std::make_shared<Graph>(random_graph(random));
    const int64_t most = 1 + static_cast<int64_t>(random() % 9);
    const auto plan = compile(graph, tokens(most), StepClass::decode, *backend);
    ASSERT_TRUE(PlanPlayer(*plan).play()) << round;
    ASSERT_GE(plan->bytes[0].arena, plan->bytes[0].live);
    ASSERT_LE(plan->bytes[0].arena, 2 * plan->bytes[0].live);
    for (size_t i = 0; i < plan->places.size(); ++i) {
      const graph::Node& node = graph->nodes()[i];
      shared += node.op && !node.op->alias_of() && plan->places[i].root.id != static_cast<int32_t>(i) ? 1 : 0;
    }
    Runner runner(*backend, {plan}, {});
    for (int64_t count : {most, most / 2, most}) {
      std::map<std::string, Tensor, std::less<>> inputs;
      std::vector<Array> storage;
      storage.reserve(2);
      for (const char* name : {"x", "y"}) {
        Array array = Array::empty(DType::f32, {count, kWidth});
        for (int64_t i = 0; i < array.elements(); ++i) {
          array.mutable_data<float>()[i] = static_cast<float>(static_cast<double>(random()) * 0x1p-32 - 0.5);
        }
        if (count > 0) std::memcpy(runner.input(name).data, array.raw(), array.bytes());
        storage.push_back(array);
        inputs.emplace(name, Tensor{storage.back().mutable_raw(), DType::f32, array.shape()});
      }
      runner.run(0, tokens(count));
      const std::vector<Tensor> expected = evaluate(*graph, tokens(count), inputs, storage);
      for (const graph::Output& output : graph->outputs()) {
        const Tensor found = runner.output(0, output.name);
        const Tensor& value = expected[static_cast<size_t>(output.value.id)];
        ASSERT_EQ(found.shape, value.shape);
        ASSERT_TRUE(value.bytes() == 0 || std::memcmp(found.data, value.data, value.bytes()) == 0)
            << "round " << round << ", output " << output.name;
      }
    }
  }
  EXPECT_GT(shared, 1000) << "ops that ran in place";
}

class ModelPlans : public testing::TestWithParam<const char*> {
 protected:
  /// Calls with every graph and bucket of every model of tests/model.
  static int for_each(const std::function<void(const std::shared_ptr<const Graph>&, const DimValues&)>& f) {
    int graphs = 0;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(INGOT_SOURCE_DIR) / "tests/model")) {
      if (entry.path().filename() != "config.json") continue;
      const model::Model model(
          std::make_shared<format::HfFolder>(format::HfFolder::open(entry.path().parent_path().string())));
      for (int64_t rows : {1, 17, 512}) {
        DimValues bucket;
        bucket[Symbol::tokens] = rows;
        bucket[Symbol::sequences] = std::min<int64_t>(rows, 17);
        bucket[Symbol::pages] = 9;
        bucket[Symbol::logit_rows] = std::min<int64_t>(rows, 17);
        bucket[Symbol::cache_pages] = 200;
        bucket[Symbol::slots] = 17;
        for (const auto& graph : {model.logits_graph(), model.token_graph()}) {
          SCOPED_TRACE(entry.path().string() + ", rows " + std::to_string(rows));
          f(graph, bucket);
          ++graphs;
        }
      }
    }
    return graphs;
  }
  static CompileOptions options() {
    CompileOptions options;
    if (GetParam() == std::string("unfused")) options.no_fuse = {"all"};
    return options;
  }
};

TEST_P(ModelPlans, TakeAtMost15PercentMoreThanTheirLowerBoundAndNeverOverwriteWhatIsRead) {
  NullBackend backend;
  const Device device{.backend = &backend, .name = "null"};
  double worst = 1;
  const int graphs = for_each([&](const auto& graph, const DimValues& bucket) {
    for (const StepClass step : {StepClass::prefill, StepClass::decode}) {
      const auto plan = compile(graph, bucket, step, {&device, 1}, options());
      EXPECT_GE(plan->bytes[0].arena, plan->bytes[0].live);
      const double ratio =
          static_cast<double>(plan->bytes[0].arena) / static_cast<double>(plan->bytes[0].live);
      worst = std::max(worst, ratio);
      EXPECT_LE(ratio, 1.15);
      EXPECT_TRUE(PlanPlayer(*plan).play());
    }
  });
  EXPECT_GE(graphs, 6 * 12);
  std::printf("%s: at most %.3f of the lower bound in %d graphs\n", GetParam(), worst, graphs);
}

TEST_P(ModelPlans, SplitByLayersKeepTheirValuesAndCaches) {
  NullBackend near;
  NullBackend far({.name = "far", .shares_host_memory = false});
  const std::vector<Device> devices{{.backend = &near, .name = "null"}, {.backend = &far, .name = "far"}};
  CompileOptions split = options();
  split.layers = {{.first = 1, .last = 1000, .device = "far"}};
  for_each([&](const auto& graph, const DimValues& bucket) {
    const auto plan = compile(graph, bucket, StepClass::decode, devices, split);
    EXPECT_TRUE(PlanPlayer(*plan).play());
    EXPECT_GT(plan->bytes[1].states, 0U);
    EXPECT_GT(plan->bytes[1].weights, 0U);
    EXPECT_FALSE(plan->transfers.empty());
    for (const PlannedLaunch& launch : plan->launches) {
      const graph::Node& node = plan->graph->node(launch.node);
      EXPECT_EQ(launch.device, node.layer >= 1 ? 1 : 0) << node.name;
    }
    EXPECT_TRUE(plan->notes.empty());
  });
}

INSTANTIATE_TEST_SUITE_P(All, ModelPlans, testing::Values("fused", "unfused"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot::exec
