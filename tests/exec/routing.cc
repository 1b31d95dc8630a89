// Routing of graphs: crossovers where the algebra says, rules by hand, devices that are full or lack kernels.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "backend/null/null_backend.h"
#include "backend/registry.h"
#include "exec/cost_model.h"
#include "exec/plan.h"
#include "exec/plan_cache.h"
#include "graph/ops/add.h"
#include "graph/ops/gelu.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/linear.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/silu.h"
#include "ingot/error.h"

namespace ingot::exec {
namespace {

using backend::StepClass;
using graph::DimValues;
using graph::Graph;
using graph::Symbol;
using graph::Value;
using null::NullBackend;
using testing::ElementsAre;
using testing::HasSubstr;

DimValues sizes(int64_t tokens) {
  DimValues dims;
  dims[Symbol::tokens] = tokens;
  dims[Symbol::cache_pages] = 3;
  return dims;
}

CompileOptions unfused() {
  CompileOptions options;
  options.no_fuse = {"all"};
  return options;
}

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::internal, "no error"};
}

std::string devices_of(const Plan& plan) {
  std::string text;
  for (const PlannedLaunch& launch : plan.launches) text += std::to_string(launch.device);
  return text;
}

/// A host device, slow, and a far one, fast, with copies of 10 us and 10 GB/s between them.
struct Machine {
  NullBackend near{{.name = "near"}};
  NullBackend far{{.name = "far", .shares_host_memory = false}};
  DeviceCosts near_costs = DeviceCosts::uniform("near", 1, 10, 100, 0, 0);
  DeviceCosts far_costs = DeviceCosts::uniform("far", 20, 1000, 10000, 10, 10);
  std::vector<Device> devices() {
    return {{.backend = &near, .name = "near", .costs = &near_costs},
            {.backend = &far, .name = "far", .costs = &far_costs}};
  }
  std::shared_ptr<const Plan> plan(const std::shared_ptr<const Graph>& graph, int64_t tokens,
                                   const CompileOptions& options = unfused()) {
    return compile(graph, sizes(tokens), StepClass::decode, devices(), options);
  }
};

std::shared_ptr<Graph> one_linear() {
  auto g = std::make_shared<Graph>();
  const Value x = g->input("x", {DType::f32, {Symbol::tokens, 256}});
  g->output("y", linear(*g, x, g->weight("w", Array::zeros(DType::f32, {256, 256}))));
  return g;
}

std::shared_ptr<Graph> silu_chain(int launches, int64_t width = 1024, bool in_layers = false) {
  auto g = std::make_shared<Graph>();
  Value x = g->input("x", {DType::f32, {Symbol::tokens, width}});
  for (int i = 0; i < launches; ++i) {
    if (in_layers) g->set_layer(i);
    x = silu(*g, x);
  }
  g->output("y", x);
  return g;
}

// 2 K N = 131072 flops and 4 (K + N) = 2048 bytes a token. Near: 1 + 131072 T / 1e5 us (arithmetic bounds
// it). Far: 20 + 131072 T / 1e7, and copies of 10 us each way and 2048 T / 1e4. Equal at T = 39 / 1.09280
// = 35.69.
TEST(Crossover, OfOneLinearIsWhereTheAlgebraSays) {
  Machine machine;
  const auto graph = one_linear();
  EXPECT_EQ(devices_of(*machine.plan(graph, 35)), "0");
  EXPECT_EQ(devices_of(*machine.plan(graph, 36)), "1");
  const auto plan = machine.plan(graph, 36);
  EXPECT_NEAR(plan->launches[0].predicted_us, 20 + 131072 * 36 / 1e7, 1e-9);
  ASSERT_EQ(plan->transfers.size(), 2U);
  EXPECT_NEAR(plan->transfers[0].predicted_us, 10 + 36 * 1024 / 1e4, 1e-9);
  EXPECT_EQ(plan->launches[0].reason, "predicted 20.5 us here, 48.2 us on near");
  EXPECT_EQ(machine.plan(graph, 35)->launches[0].reason,
            "predicted 46.9 us here, 20.5 us on far and more for transfers");
}

// T rows of 1024: a silu moves 8192 T bytes. With T = 12, near: 1 + 98304 / 1e4 = 10.83 us each. Far with
// launches of 1 us: 1 + 0.098 each, and 20 us + 98304 / 1e4 for both copies. n = 29.83 / 9.73 = 3.07.
TEST(Crossover, OfAChainIsAtTheLengthThatPaysForItsCopies) {
  Machine machine;
  machine.near_costs = DeviceCosts::uniform("near", 1, 10, 1e6, 0, 0);
  machine.far_costs = DeviceCosts::uniform("far", 1, 1000, 1e6, 10, 10);
  EXPECT_EQ(devices_of(*machine.plan(silu_chain(3), 12)), "000");
  EXPECT_EQ(devices_of(*machine.plan(silu_chain(4), 12)), "1111");
}

TEST(Routing, AStatesLaunchesGoTogetherAndSayWhy) {
  Machine machine;
  auto g = std::make_shared<Graph>();
  const Value cache = g->state("keys.3", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
  const Value rows = g->input("rows", {DType::f32, {Symbol::tokens, 1, 4}});
  const Value slots = g->input("slots", {DType::i32, {Symbol::tokens}});
  const Value written = kv_write(*g, cache, rows, slots);
  g->output("y", silu(*g, reshape(*g, written, {Symbol::cache_pages, 128})));
  CompileOptions options = unfused();
  options.route["silu"] = 0;  // the first device, whatever the size
  const auto plan = machine.plan(g, 2, options);
  EXPECT_EQ(devices_of(*plan), "00");
  EXPECT_EQ(plan->launches[0].reason, "state keys.3 lives here");
  EXPECT_EQ(plan->launches[1].reason, "threshold 0: 384 elements");
  EXPECT_GT(plan->bytes[0].states, 0U);
  options.route["kv_write"] = 1000000;  // the last device: but the cache can only be in one place
  const auto refused = machine.plan(g, 2, options);
  EXPECT_EQ(devices_of(*refused), "11");
  EXPECT_THAT(refused->notes, ElementsAre(HasSubstr("asks for near, but state keys.3 lives on far")));
  options.strict = true;
  EXPECT_EQ(error_of([&] { machine.plan(g, 2, options); }).code(), ErrorCode::unsupported);
}

TEST(Rules, AThresholdSendsLargeOpsToTheFirstDeviceAndSmallOnesToTheLast) {
  Machine machine;
  CompileOptions options = unfused();
  options.route["linear"] = 512;
  const auto small = machine.plan(one_linear(), 1, options);
  EXPECT_EQ(devices_of(*small), "1");
  EXPECT_EQ(small->launches[0].reason, "threshold 512: 256 elements");
  const auto large = machine.plan(one_linear(), 2, options);
  EXPECT_EQ(devices_of(*large), "0");
  EXPECT_EQ(large->launches[0].reason, "threshold 512: 512 elements");
}

TEST(Rules, LayersGoWhereTheyAreToldBeforeAnyThreshold) {
  Machine machine;
  CompileOptions options = unfused();
  options.layers = {{.first = 1, .last = 2, .device = "far"}, {.first = 0, .last = 0, .device = "near"}};
  options.route["silu"] = 0;
  const auto plan = machine.plan(silu_chain(4, 8, true), 1, options);
  EXPECT_EQ(devices_of(*plan), "0110");
  EXPECT_EQ(plan->launches[1].reason, "layers 1-2 by hand");
  EXPECT_EQ(plan->launches[3].reason, "threshold 0: 8 elements");
}

TEST(Rules, BadOnesAreNamedWithWhatWasExpected) {
  Machine machine;
  const auto message = [&](const std::function<void(CompileOptions&)>& change) {
    CompileOptions options = unfused();
    change(options);
    const Error error = error_of([&] { machine.plan(silu_chain(2), 1, options); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  EXPECT_THAT(message([](auto& o) { o.route["matmull"] = 5; }),
              HasSubstr("expected an op, one of add, attention"));
  EXPECT_THAT(message([](auto& o) { o.route["matmull"] = 5; }), HasSubstr("found 'matmull'"));
  EXPECT_EQ(message([](auto& o) { o.route["matmul"] = -1; }),
            "route: matmul: expected a threshold of at least 0 elements, found -1");
  EXPECT_EQ(message([](auto& o) {
              o.layers = {{0, 3, "tpu"}};
            }),
            fmt::format("layers: expected a device, one of near, far, {}, found 'tpu'",
                        fmt::join(backend::backend_names(), ", ")));
  EXPECT_EQ(message([](auto& o) {
              o.layers = {{3, 2, "far"}};
            }),
            "layers: expected a range from 0 on, found 3-2");
  EXPECT_EQ(message([](auto& o) {
              o.layers = {{-1, 2, "far"}};
            }),
            "layers: expected a range from 0 on, found -1-2");
  EXPECT_EQ(message([](auto& o) {
              o.layers = {{0, 3, "far"}, {3, 5, "near"}};
            }),
            "layers: expected ranges that do not overlap, found 0-3 and 3-5");
  EXPECT_EQ(message([](auto& o) { o.memory["tpu"] = 5; }),
            fmt::format("memory: expected a device, one of near, far, {}, found 'tpu'",
                        fmt::join(backend::backend_names(), ", ")));
  EXPECT_EQ(message([](auto& o) { o.memory["far"] = -5; }),
            "memory: far: expected at least 0 bytes, found -5");
  EXPECT_THAT(message([](auto& o) { o.no_fuse = {"magic"}; }), HasSubstr("found 'magic'"));
  const std::vector<Device> twice{machine.devices()[0], machine.devices()[0]};
  EXPECT_THAT(error_of([&] { compile(silu_chain(1), sizes(1), StepClass::decode, twice); }).what(),
              HasSubstr("found 'near' twice"));
}

TEST(Rules, AMissingDeviceIsNotedAndItsLayersAreRouted) {
  Machine machine;
  const std::vector<PassedOver> missing{{.device = "cuda", .reason = "no driver"}};
  CompileOptions options = unfused();
  options.layers = {{.first = 0, .last = 1, .device = "cuda"}};
  const auto compile_it = [&] {
    return compile(silu_chain(2, 8, true), sizes(1), StepClass::decode, machine.devices(), options, missing);
  };
  EXPECT_THAT(compile_it()->notes, ElementsAre("cuda is passed over: no driver"));
  EXPECT_EQ(devices_of(*compile_it()), "00");
  options.strict = true;
  const Error error = error_of([&] { compile_it(); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_STREQ(error.what(), "strict: cuda is passed over: no driver");
}

TEST(Kernels, AnOpThatADeviceLacksRunsOnAnother) {
  Machine machine;
  NullBackend lacking({.name = "far", .without = {"silu"}, .shares_host_memory = false});
  std::vector<Device> devices = machine.devices();
  devices[1].backend = &lacking;
  auto g = std::make_shared<Graph>();
  const Value x = g->input("x", {DType::f32, {Symbol::tokens, 4096}});
  g->output("y", silu(*g, gelu(*g, x, graph::GeluKind::tanh)));
  CompileOptions options = unfused();
  options.route["silu"] = 1 << 30;  // the last device, which has no kernel
  const auto plan = compile(g, sizes(4096), StepClass::decode, devices, options);
  EXPECT_EQ(plan->launches[1].device, 0);
  EXPECT_EQ(plan->launches[1].reason, "no kernel on far");
  EXPECT_THAT(plan->notes, ElementsAre("far has no kernel for silu: 1 launch passed it over",
                                       HasSubstr("asks for far, but it has no kernel for the op")));
  options.strict = true;
  const Error error = error_of([&] { compile(g, sizes(4096), StepClass::decode, devices, options); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_STREQ(error.what(), "strict: far has no kernel for silu: 1 launch passed it over");
}

TEST(Kernels, AnOpThatNoDeviceHasIsAnError) {
  NullBackend a({.name = "a", .without = {"silu"}});
  NullBackend b({.name = "b", .without = {"silu"}});
  const std::vector<Device> devices{{.backend = &a, .name = "a"}, {.backend = &b, .name = "b"}};
  const Error error =
      error_of([&] { compile(silu_chain(1, 12), sizes(2), StepClass::prefill, devices, unfused()); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_STREQ(error.what(), "a, b: no kernel for silu : f32[T, 12] in a prefill step");
}

TEST(Kernels, AStateWhoseOpsHaveNoCommonDeviceIsAnError) {
  NullBackend a({.name = "a", .without = {"silu"}});
  NullBackend b({.name = "b", .without = {"kv_write"}});
  const std::vector<Device> devices{{.backend = &a, .name = "a"}, {.backend = &b, .name = "b"}};
  auto g = std::make_shared<Graph>();
  const Value cache = g->state("keys", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
  const Value written = kv_write(*g, cache, g->input("rows", {DType::f32, {Symbol::tokens, 1, 4}}),
                                 g->input("slots", {DType::i32, {Symbol::tokens}}));
  g->output("y", silu(*g, reshape(*g, written, {Symbol::cache_pages, 128})));
  const Error error = error_of([&] { compile(g, sizes(2), StepClass::decode, devices, unfused()); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_STREQ(error.what(), "a, b: none has kernels for every op that uses state 'keys' in a decode step");
}

/// gate and up of one input: fuses into linear_glu.
std::shared_ptr<Graph> glu() {
  auto g = std::make_shared<Graph>();
  const Value x = g->input("x", {DType::f32, {Symbol::tokens, 64}});
  const auto w = [&](const char* name) { return g->weight(name, Array::zeros(DType::f32, {64, 64})); };
  const Value gate = linear(*g, x, w("gate"));
  const Value up = linear(*g, x, w("up"));
  g->output("y", mul(*g, silu(*g, gate), up));
  return g;
}

TEST(Kernels, AFusedOpWithoutKernelRunsUnfusedAndIsNoted) {
  NullBackend whole;
  NullBackend parts({.name = "null", .without = {"linear_glu"}});
  const auto plan_on = [](NullBackend& backend, bool strict) {
    const Device device{.backend = &backend, .name = "null"};
    CompileOptions options;
    options.strict = strict;
    return compile(glu(), sizes(2), StepClass::decode, {&device, 1}, options);
  };
  const auto fused = plan_on(whole, true);
  ASSERT_EQ(fused->launches.size(), 1U);
  EXPECT_FALSE(fused->passes.empty());
  EXPECT_NE(fused->source, fused->graph);
  const auto expanded = plan_on(parts, false);
  EXPECT_EQ(expanded->launches.size(), 4U);
  EXPECT_THAT(expanded->notes, ElementsAre("null has no kernel for linear_glu: 1 runs unfused"));
  EXPECT_EQ(error_of([&] { plan_on(parts, true); }).code(), ErrorCode::unsupported);
}

// 120 rows are 1.97e6 flops: near 1 + 65.5 us. Far whole 20 + 0.2, and 26.1 for copies; its four parts 80 and
// the copies.
TEST(Kernels, AFusedOpWithoutKernelCostsTheSumOfItsParts) {
  Machine machine;
  machine.near_costs = DeviceCosts::uniform("near", 1, 10, 30, 0, 0);
  NullBackend parts({.name = "far", .without = {"linear_glu"}, .shares_host_memory = false});
  std::vector<Device> devices = machine.devices();
  EXPECT_EQ(devices_of(*compile(glu(), sizes(120), StepClass::decode, devices)), "1");
  devices[1].backend = &parts;
  EXPECT_EQ(devices_of(*compile(glu(), sizes(120), StepClass::decode, devices)), "0");
}

/// Layers of one linear of 64 x 64, 16384 bytes each, and one of no layer after them.
std::shared_ptr<Graph> tower(int layers) {
  auto g = std::make_shared<Graph>();
  Value x = g->input("x", {DType::f32, {Symbol::tokens, 64}});
  for (int i = 0; i <= layers; ++i) {
    g->set_layer(i < layers ? i : graph::kNoLayer);
    x = linear(*g, x, g->weight("w" + std::to_string(i), Array::zeros(DType::f32, {64, 64})));
  }
  g->output("y", x);
  return g;
}

TEST(Caps, AFullDevicePassesItsTrailingLayersOn) {
  Machine machine;
  CompileOptions options = unfused();
  options.memory["near"] = 4 * 16384 + 2000;
  const auto plan = machine.plan(tower(6), 1, options);
  // Five linears and the last have to leave; the router would keep everything near. The last, of no layer,
  // stays for as long as layers can go.
  EXPECT_EQ(devices_of(*plan).substr(0, 6), "000111");
  EXPECT_LE(plan->bytes[0].total(), static_cast<size_t>(options.memory["near"]));
  EXPECT_EQ(plan->launches[4].reason, "near is full: needs 115.2 kB of 67.54 kB");
  EXPECT_THAT(plan->notes, ElementsAre("near is full: needs 115.2 kB of 67.54 kB; trailing layers move on"));
  options.strict = true;
  const Error error = error_of([&] { machine.plan(tower(6), 1, options); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_THAT(error.what(), HasSubstr("near is full"));
}

TEST(Caps, NoRoomAnywhereIsAnErrorThatNamesTheDeviceAndBothSizes) {
  Machine machine;
  CompileOptions options = unfused();
  options.memory = {{"near", 40000}, {"far", 40000}};
  const Error error = error_of([&] { machine.plan(tower(6), 1, options); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_THAT(error.what(), HasSubstr(" of 40 kB, and no other device can run more of it"));
}

TEST(Caps, ADeviceOfItsOwnMemoryHasThatAsItsCap) {
  Machine machine;
  NullBackend small({.name = "far", .memory_bytes = 3 * 16384 + 2000, .shares_host_memory = false});
  std::vector<Device> devices = machine.devices();
  devices[1].backend = &small;
  machine.near_costs = DeviceCosts::uniform("near", 1, 0.01, 0.01, 0, 0);  // everything would go far
  const auto plan = compile(tower(6), sizes(1), StepClass::decode, devices, unfused());
  EXPECT_LE(plan->bytes[1].total(), 3U * 16384 + 2000);
  EXPECT_EQ(plan->launches[5].device, 0);
  EXPECT_EQ(plan->launches[0].device, 1);
}

TEST(Uncalibrated, TheFirstDeviceThatCanTakesEverything) {
  Machine machine;
  std::vector<Device> devices = machine.devices();
  std::swap(devices[0], devices[1]);
  devices[0].costs = nullptr;
  NullBackend lacking({.name = "far", .without = {"gelu"}, .shares_host_memory = false});
  devices[0].backend = &lacking;
  auto g = std::make_shared<Graph>();
  g->output("y", silu(*g, gelu(*g, g->input("x", {DType::f32, {Symbol::tokens, 8}}), graph::GeluKind::tanh)));
  const auto plan = compile(g, sizes(1), StepClass::decode, devices, unfused());
  EXPECT_EQ(devices_of(*plan), "10");
  EXPECT_EQ(plan->launches[0].reason, "no kernel on far");
  EXPECT_EQ(plan->launches[1].reason, "the first device; not calibrated");
  EXPECT_EQ(plan->launches[1].predicted_us, 0);
}

TEST(PlanCache, AGraphIsCompiledOnceForItsBucketStepAndOptions) {
  Machine machine;
  PlanCache cache;
  const auto graph = silu_chain(2);
  const auto get = [&](int64_t tokens, StepClass step, const CompileOptions& options) {
    return cache.get(graph, sizes(tokens), step, machine.devices(), options);
  };
  const auto first = get(4, StepClass::decode, {});
  EXPECT_EQ(get(4, StepClass::decode, {}), first);
  EXPECT_NE(get(5, StepClass::decode, {}), first);
  EXPECT_NE(get(4, StepClass::prefill, {}), first);
  EXPECT_NE(get(4, StepClass::decode, unfused()), first);
  CompileOptions bad;
  bad.route["silu"] = -1;
  EXPECT_THROW(get(4, StepClass::decode, bad), Error);
  const PlanCacheStatistics statistics = cache.statistics();
  EXPECT_EQ(statistics.hits, 1U);
  EXPECT_EQ(statistics.misses, 5U);
  EXPECT_EQ(statistics.entries, 4U);
}

}  // namespace
}  // namespace ingot::exec
