// Plans over several devices: execution across them, and where values and states are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "backend/null/null_backend.h"
#include "exec/check_plan.h"
#include "exec/far_backend.h"
#include "exec/plan.h"
#include "exec/random_graph.h"
#include "exec/runner.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/linear.h"
#include "graph/ops/silu.h"

namespace ingot::exec {
namespace {

using backend::StepClass;
using graph::DimValues;
using graph::Tensor;

DimValues sizes(int64_t tokens) {
  DimValues dims;
  dims[Symbol::tokens] = tokens;
  dims[Symbol::cache_pages] = 3;
  return dims;
}

/// The random graph, with a linear, a cache that is written and read, and outputs of all of them.
std::shared_ptr<Graph> graph_with_cache(std::mt19937& random) {
  auto g = std::make_shared<Graph>(random_graph(random));
  const Value last = g->outputs().back().value;
  g->set_layer(100);
  const Value cache = g->state("keys", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
  const Value slots = g->input("slots", {DType::i32, {Symbol::tokens}});
  Array weight = Array::empty(DType::f32, {4, kWidth});
  for (int64_t i = 0; i < weight.elements(); ++i)
    weight.mutable_data<float>()[i] = static_cast<float>(random() % 100) / 64 - 0.7F;
  g->set_layer(101);
  const Value narrow = linear(*g, last, g->weight("narrow", weight));
  g->set_layer(102);
  const Value written = kv_write(*g, cache, reshape(*g, narrow, {Symbol::tokens, 1, 4}), slots);
  g->set_layer(103);
  g->output("read", silu(*g, reshape(*g, written, {Symbol::cache_pages, 128})));
  g->output("narrow", narrow);
  g->output("x again", g->find("x"));
  return g;
}

/// Every layer on a random device.
CompileOptions by_hand(std::mt19937& random, std::span<const Device> devices) {
  CompileOptions options;
  options.no_fuse = {"all"};
  const auto any = [&] { return devices[random() % devices.size()].name; };
  for (int64_t layer = 0; layer < 110; ++layer) {
    if (layer == 102) continue;  // the cache's launches go together: layer 103 says where
    options.layers.push_back({.first = layer, .last = layer, .device = any()});
  }
  return options;
}

class Feed {
 public:
  Feed(std::mt19937& random, int64_t most) {
    for (auto* values : {&x_, &y_}) {
      for (int64_t i = 0; i < most * kWidth; ++i)
        values->push_back(static_cast<float>(static_cast<double>(random()) * 0x1p-32 - 0.5));
    }
  }
  void into(Runner& runner, int64_t tokens) const {
    const size_t bytes = static_cast<size_t>(tokens * kWidth) * sizeof(float);
    if (bytes > 0) std::memcpy(runner.input("x").data, x_.data(), bytes);
    if (bytes > 0) std::memcpy(runner.input("y").data, y_.data(), bytes);
    for (int64_t i = 0; i < tokens; ++i)
      runner.input("slots").as<int32_t>()[i] = 32 + static_cast<int32_t>(i);
  }

 private:
  std::vector<float> x_;
  std::vector<float> y_;
};

std::vector<std::vector<std::byte>> run(Runner& runner, size_t plan, int64_t tokens) {
  runner.run(plan, sizes(tokens));
  std::vector<std::vector<std::byte>> bytes;
  for (const graph::Output& output : runner.plan(plan).graph->outputs()) {
    const Tensor tensor = runner.output(plan, output.name);
    const auto* data = static_cast<const std::byte*>(tensor.data);
    bytes.emplace_back(data, data + tensor.bytes());
  }
  return bytes;
}

TEST(Devices, RandomGraphsOnRandomDevicesGiveTheBitsOfOneDevice) {
  std::mt19937 random(17);
  cpu::CpuBackend cpu(1);
  cpu::CpuBackend other(1);
  FarBackend far("far");
  FarBackend farther("farther");
  const Device near{.backend = &cpu, .name = "cpu"};
  const Device beside{.backend = &other, .name = "cpu2"};
  const Device far_device{.backend = &far, .name = "far"};
  const Device farther_device{.backend = &farther, .name = "farther"};
  const std::vector<std::vector<Device>> machines = {{near, beside},
                                                     {near, far_device},
                                                     {far_device, near},
                                                     {far_device, farther_device},
                                                     {farther_device, near, far_device, beside}};
  uint64_t transfers = 0;
  for (int round = 0; round < 1000; ++round) {
    const auto graph = graph_with_cache(random);
    const int64_t most = 1 + static_cast<int64_t>(random() % 9);
    const auto& devices = machines[static_cast<size_t>(round) % machines.size()];
    const auto alone = compile(graph, sizes(most), StepClass::decode, cpu);
    std::vector<std::shared_ptr<const Plan>> plans;
    for (int i = 0; i < 2; ++i) {
      plans.push_back(compile(graph, sizes(most), StepClass::decode, devices, by_hand(random, devices)));
      ASSERT_TRUE(PlanPlayer(*plans.back()).play()) << round;
    }
    const Feed feed(random, most);
    // The two plans need not agree where the cache is; each starts with an empty one.
    for (size_t i = 0; i < plans.size(); ++i) {
      Runner many(devices, {plans[i]}, {{"keys", Array::zeros(DType::f32, {3, 1, 32, 4})}});
      Runner fresh(cpu, {alone}, {{"keys", Array::zeros(DType::f32, {3, 1, 32, 4})}});
      for (int64_t tokens : {most, most / 2, most}) {
        feed.into(many, tokens);
        feed.into(fresh, tokens);
        ASSERT_TRUE(run(many, 0, tokens) == run(fresh, 0, tokens)) << "round " << round << ", plan " << i;
      }
      transfers += many.statistics().transfers;
      ASSERT_EQ(many.statistics().launches, 3 * plans[i]->launches.size());
      ASSERT_EQ(many.statistics().transfers, 3 * plans[i]->transfers.size());
    }
  }
  EXPECT_GT(transfers, 5000U);
  EXPECT_GT(far.launches(), 1000U);
  EXPECT_GT(far.imports(), 100U) << "weights of a far device are copies of its own";
}

TEST(Devices, ARunnersPlansShareTheArenasOfEveryDevice) {
  std::mt19937 random(19);
  cpu::CpuBackend cpu(1);
  FarBackend far("far");
  const std::vector<Device> devices{{.backend = &cpu, .name = "cpu"}, {.backend = &far, .name = "far"}};
  const auto graph = std::make_shared<Graph>(random_graph(random));
  CompileOptions options = by_hand(random, devices);
  options.layers.erase(options.layers.begin() + 60, options.layers.end());
  const auto small = compile(graph, sizes(3), StepClass::decode, devices, options);
  const auto large = compile(graph, sizes(50), StepClass::decode, devices, options);
  const size_t before = far.pool_statistics().in_use_bytes;
  Runner both(devices, {small, large}, {});
  const size_t together = far.pool_statistics().in_use_bytes - before;
  Runner alone(devices, {large}, {});
  EXPECT_EQ(far.pool_statistics().in_use_bytes - before - together, together);
  EXPECT_EQ(both.bytes(), alone.bytes());
}

/// y = silu^n(x), each silu a layer.
std::shared_ptr<Graph> silu_chain(int launches) {
  auto g = std::make_shared<Graph>();
  Value x = g->input("x", {DType::f32, {Symbol::tokens, kWidth}});
  for (int i = 0; i < launches; ++i) {
    g->set_layer(i);
    x = silu(*g, x);
  }
  g->output("y", x);
  return g;
}

CompileOptions unfused(std::vector<LayerRange> layers = {}) {
  CompileOptions options;
  options.no_fuse = {"all"};
  options.layers = std::move(layers);
  return options;
}

TEST(Devices, LaunchesInARowOnOneDeviceAreOneSliceAndACopyPrecedesEachOther) {
  null::NullBackend near;
  null::NullBackend far({.name = "far", .shares_host_memory = false});
  const std::vector<Device> devices{{.backend = &near, .name = "null"}, {.backend = &far, .name = "far"}};
  const auto plan = compile(silu_chain(6), sizes(4), StepClass::decode, devices,
                            unfused({{0, 1, "null"}, {2, 3, "far"}, {4, 5, "null"}}));
  ASSERT_EQ(plan->transfers.size(), 2U);
  EXPECT_EQ(plan->transfers[0].before_launch, 2U);
  EXPECT_EQ(plan->transfers[0].from, 0);
  EXPECT_EQ(plan->transfers[0].to, 1);
  EXPECT_EQ(plan->transfers[1].before_launch, 4U);
  EXPECT_TRUE(PlanPlayer(*plan).play());
  Runner runner(devices, {plan}, {});
  runner.run(0, sizes(2));
  const RunnerStatistics statistics = runner.statistics();
  EXPECT_EQ(statistics.steps, 1U);
  EXPECT_EQ(statistics.launches, 6U);
  EXPECT_EQ(statistics.slices, 3U);
  EXPECT_EQ(statistics.transfers, 2U);
  EXPECT_EQ(statistics.bytes_moved, 2 * 2 * kWidth * sizeof(float)) << "the step's sizes, not the bucket's";
  EXPECT_EQ(far.copies(), 2);
  EXPECT_EQ(far.launches(), 2);
}

TEST(Devices, DevicesThatShareTheHostsMemoryShareItsArenaAndCopyNothing) {
  null::NullBackend a({.name = "a"});
  null::NullBackend b({.name = "b"});
  const std::vector<Device> devices{{.backend = &a, .name = "a"}, {.backend = &b, .name = "b"}};
  const auto plan = compile(silu_chain(4), sizes(4), StepClass::decode, devices,
                            unfused({{1, 2, "b"}, {0, 0, "a"}, {3, 3, "a"}}));
  EXPECT_TRUE(plan->transfers.empty());
  EXPECT_EQ(plan->memory_of, (std::vector<int>{0, 0}));
  EXPECT_EQ(plan->bytes[1].arena, 0U);
  EXPECT_EQ(plan->launches[1].device, 1);
}

TEST(Devices, WithoutADeviceOfTheHostsMemoryInputsAndOutputsAreCopied) {
  null::NullBackend far({.name = "far", .shares_host_memory = false});
  const std::vector<Device> devices{{.backend = &far, .name = "far"}};
  const auto plan = compile(silu_chain(2), sizes(4), StepClass::decode, devices, unfused());
  EXPECT_EQ(plan->host, 1);
  ASSERT_EQ(plan->transfers.size(), 2U);
  EXPECT_EQ(plan->transfers[0].from, 1);
  EXPECT_EQ(plan->transfers[1].to, 1);
  EXPECT_EQ(plan->transfers[1].before_launch, 2U);
}

TEST(Devices, ALaunchIsProfiledAlone) {
  cpu::CpuBackend cpu(1);
  FarBackend far("far");
  const std::vector<Device> devices{{.backend = &cpu, .name = "cpu"}, {.backend = &far, .name = "far"}};
  const auto plan = compile(silu_chain(4), sizes(64), StepClass::decode, devices,
                            unfused({{1, 2, "far"}, {0, 0, "cpu"}, {3, 3, "cpu"}}));
  Runner runner(devices, {plan}, {});
  std::vector<double> launches(4, -1);
  std::vector<double> transfers(2, -1);
  runner.profile(0, sizes(64), launches, transfers);
  for (double us : launches) EXPECT_GE(us, 0);
  for (double us : transfers) EXPECT_GE(us, 0);
  EXPECT_EQ(runner.statistics().launches, 4U);
}

}  // namespace
}  // namespace ingot::exec
