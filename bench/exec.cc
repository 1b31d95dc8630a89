// The compiler and the executor without any device: planning a model of 32 layers, and what one launch of a
// step costs beside its kernel. The null backend's kernels do nothing.
#include <benchmark/benchmark.h>

#include <cmath>

#include "backend/null/null_backend.h"
#include "exec/cost_model.h"
#include "exec/runner.h"
#include "graph/ops/add.h"
#include "graph/ops/attention.h"
#include "graph/ops/embedding.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/linear.h"
#include "graph/ops/mul.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/rope.h"
#include "graph/ops/rope_table.h"
#include "graph/ops/silu.h"

namespace ingot::exec {
namespace {

using backend::StepClass;
using graph::Graph;
using graph::Symbol;
using graph::Value;

constexpr int64_t kHidden = 64;
constexpr int64_t kFfn = 128;
constexpr int64_t kHeads = 4;
constexpr int64_t kHeadDim = kHidden / kHeads;
constexpr int64_t kVocab = 256;

/// A decoder as Llama's, narrow: the shape of the graph is what counts.
std::shared_ptr<Graph> decoder(int layers) {
  auto graph = std::make_shared<Graph>();
  Graph& g = *graph;
  const auto ids = [&](const char* name, std::vector<graph::Dim> dims) {
    return g.input(name, {DType::i32, std::move(dims)});
  };
  const auto weight = [&](const std::string& name, const Shape& shape) {
    return g.weight(name, Array::zeros(DType::f32, shape));
  };
  const Value tokens = ids("tokens", {Symbol::tokens});
  const Value positions = ids("positions", {Symbol::tokens});
  const Value slots = ids("slots", {Symbol::tokens});
  const graph::AttentionInputs step{
      .seq_start = ids("seq_start", {graph::Dim(Symbol::sequences) + graph::Dim(1)}),
      .context_len = ids("context_len", {Symbol::sequences}),
      .block_table = ids("block_table", {Symbol::sequences, Symbol::pages})};
  Value x = embedding(g, tokens, weight("embed", {kVocab, kHidden}));
  const Value table = rope_table(g, positions, {}, kHeadDim);
  for (int layer = 0; layer < layers; ++layer) {
    g.set_layer(layer);
    const std::string prefix = std::to_string(layer) + ".";
    const auto project = [&](Value value, const char* name, int64_t in, int64_t out) {
      return linear(g, value, weight(prefix + name, {out, in}));
    };
    const auto norm = [&](const char* name) {
      return rms_norm(g, x, weight(prefix + name, {kHidden}), 1e-5F);
    };
    const auto heads = [&](Value value) { return reshape(g, value, {Symbol::tokens, kHeads, kHeadDim}); };
    const auto cache = [&](const char* name, Value value) {
      const Value state = g.state(prefix + name, {DType::f32, {Symbol::cache_pages, kHeads, 32, kHeadDim}});
      return kv_write(g, state, value, slots);
    };
    const Value n = norm("norm1");
    const Value q = rope(g, heads(project(n, "q", kHidden, kHidden)), table, graph::RopeStyle::half);
    const Value k = rope(g, heads(project(n, "k", kHidden, kHidden)), table, graph::RopeStyle::half);
    const Value v = heads(project(n, "v", kHidden, kHidden));
    const Value mixed = attention(g, q, cache("keys", k), cache("values", v), step, 0.25F, 0);
    x = add(g, x, project(reshape(g, mixed, {Symbol::tokens, kHidden}), "o", kHidden, kHidden));
    const Value m = norm("norm2");
    const Value gated = mul(g, silu(g, project(m, "gate", kHidden, kFfn)), project(m, "up", kHidden, kFfn));
    x = add(g, x, project(gated, "down", kFfn, kHidden));
  }
  g.set_layer(graph::kNoLayer);
  x = rms_norm(g, x, weight("norm", {kHidden}), 1e-5F);
  g.output("logits", linear(g, x, weight("head", {kVocab, kHidden})));
  return graph;
}

graph::DimValues sizes() {
  graph::DimValues dims;
  dims[Symbol::tokens] = 1;
  dims[Symbol::sequences] = 1;
  dims[Symbol::pages] = 8;
  dims[Symbol::cache_pages] = 8;
  return dims;
}

CompileOptions options(bool fused) {
  CompileOptions options;
  if (!fused) options.no_fuse = {"all"};
  return options;
}

/// A plan of 32 layers on 1, 2 or 3 calibrated devices.
void compile_32_layers(benchmark::State& state) {
  null::NullBackend near;
  null::NullBackend far({.name = "far", .shares_host_memory = false});
  null::NullBackend farther({.name = "farther", .shares_host_memory = false});
  const DeviceCosts near_costs = DeviceCosts::uniform("null", 1, 10, 100, 0, 0);
  const DeviceCosts far_costs = DeviceCosts::uniform("far", 1.1, 15, 100, 3, 10);
  const DeviceCosts farther_costs = DeviceCosts::uniform("farther", 0.9, 9, 120, 4, 10);
  std::vector<Device> devices{{.backend = &near, .name = "null", .costs = &near_costs},
                              {.backend = &far, .name = "far", .costs = &far_costs},
                              {.backend = &farther, .name = "farther", .costs = &farther_costs}};
  devices.resize(static_cast<size_t>(state.range(1)));
  const auto graph = decoder(32);
  std::shared_ptr<const Plan> plan;
  double fuse_us = 0;
  while (state.KeepRunning()) {
    plan = compile(graph, sizes(), StepClass::decode, devices, options(state.range(0) != 0));
    for (const fuse::PassReport& pass : plan->passes) fuse_us += pass.microseconds;
  }
  state.counters["launches"] = static_cast<double>(plan->launches.size());
  state.counters["of_it_passes_ms"] = benchmark::Counter(fuse_us / 1e3, benchmark::Counter::kAvgIterations);
}

/// What a step of launches that do nothing takes, by launch.
void run_32_layers(benchmark::State& state) {
  null::NullBackend backend;
  const Device device{.backend = &backend, .name = "null"};
  const auto graph = decoder(32);
  std::map<std::string, Array, std::less<>> states;
  for (const graph::Node& node : graph->nodes()) {
    if (node.kind == graph::NodeKind::state)
      states.emplace(node.name, Array::zeros(node.type.dtype, node.type.bind(sizes())));
  }
  const auto plan = compile(graph, sizes(), StepClass::decode, {&device, 1}, options(state.range(0) != 0));
  Runner runner({&device, 1}, {plan}, states);
  graph::DimValues dims = sizes();
  const bool changes = state.range(1) != 0;
  while (state.KeepRunning()) {
    if (changes) dims[Symbol::pages] = 1 + dims[Symbol::pages] % 8;
    runner.run(0, dims);
  }
  const auto launches = static_cast<double>(plan->launches.size());
  state.counters["launches"] = launches;
  state.counters["per_launch"] = benchmark::Counter(
      launches, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK(compile_32_layers)
    ->ArgsProduct({{0, 1}, {1, 2, 3}})
    ->ArgNames({"fused", "devices"})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(run_32_layers)
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->ArgNames({"fused", "sizes_change"})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace ingot::exec
