// Fused kernels beside the unfused kernels of their definitions in a decode step of one row, over the op
// cases that are worth timing; and linears with every block format. GB/s and share, of the read bandwidth
// measured in this run, are those of the op's least traffic in its fastest run.
//
// Weights come from memory, as in a model: each launch takes the next of several copies.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "backend/registry.h"
#include "base/check.h"
#include "graph/fused_op.h"
#include "opcases/op_case.h"

namespace ingot {
namespace {

using backend::Backend;
using backend::StepClass;
using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;

constexpr size_t kCopiedBytes = size_t{96} << 20;  // beyond a last-level cache's share

/// One kernel call with memory of its own.
struct Call {
  const backend::Kernel* kernel = nullptr;
  std::shared_ptr<const graph::Op> op;
  std::vector<Tensor> inputs;
  std::vector<Tensor> results;
  PooledBuffer workspace;
  backend::Launch launch;
};

/// The launches of one case over its own copy of the weights, fused or not.
class Program {
 public:
  Program(Backend& backend, const opcases::BuiltCase& built, StepClass step, bool is_fused)
      : backend_(backend) {
    Graph graph;
    std::vector<Value> inputs;
    std::vector<Tensor> tensors;
    const std::vector<graph::TensorType> types = built.input_types();
    for (const Tensor& tensor : built.inputs()) {
      inputs.push_back(graph.state(std::to_string(inputs.size()), types[inputs.size()]));
      tensors.push_back(place(tensor));
      if (tensor.bytes() > 0) std::memcpy(tensors.back().data, tensor.data, tensor.bytes());
    }
    const auto& op = built.graph.node(built.result).op;
    if (is_fused) {
      graph.append(op, inputs);
    } else {
      graph::as_fused(*op)->decompose(graph, inputs);
    }
    for (size_t i = inputs.size(); i < graph.nodes().size(); ++i) {
      const Node& node = graph.nodes()[i];
      Tensor output{.data = nullptr, .dtype = node.type.dtype, .shape = node.type.bind(built.dims)};
      const auto alias = alias_of(graph, {static_cast<int32_t>(i)});
      if (alias) {
        output.data = tensors[static_cast<size_t>(alias->id)].data;
      } else {
        output = place(output);
      }
      tensors.push_back(output);
      if (node.kind != graph::NodeKind::op) {
        calls_.back()->results.push_back(output);
        continue;
      }
      if (node.op->alias_of() && !node.op->writes_alias()) continue;
      auto& call = *calls_.emplace_back(std::make_unique<Call>());
      call.op = node.op;
      std::vector<graph::TensorType> input_types;
      for (Value input : node.inputs) {
        call.inputs.push_back(tensors[static_cast<size_t>(input.id)]);
        input_types.push_back(graph.type(input));
      }
      call.kernel =
          backend.find_kernel({.op = *node.op, .inputs = input_types, .output = node.type, .step = step});
      INGOT_CHECK(call.kernel != nullptr, "no kernel for {}", node.op->name());
      call.launch = {.op = call.op.get(), .inputs = {}, .output = output, .results = {}, .workspace = {}};
    }
    for (const auto& call : calls_) {
      call->launch.inputs = call->inputs;
      call->launch.results = call->results;
      const size_t bytes =
          call->kernel->workspace_bytes != nullptr ? call->kernel->workspace_bytes(backend, call->launch) : 0;
      call->workspace = backend.allocate(bytes);
      call->launch.workspace = {static_cast<std::byte*>(call->workspace.data()), bytes};
      kernels_.push_back(call->kernel);
      launches_.push_back(call->launch);
    }
  }
  void run() {
    backend_.submit({.kernels = kernels_, .launches = launches_});
    backend_.synchronize();
  }
  size_t launches() const { return launches_.size(); }

 private:
  Tensor place(Tensor tensor) {
    memory_.push_back(backend_.allocate(tensor.bytes()));
    tensor.data = memory_.back().data();
    return tensor;
  }
  Backend& backend_;
  std::vector<PooledBuffer> memory_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<const backend::Kernel*> kernels_;
  std::vector<backend::Launch> launches_;
};

Backend& cpu() {
  static const auto backend = backend::make_backend("cpu", {.threads = 0});
  return *backend;
}
double read_gbps() {
  static const double gbps = cpu().measure_peaks().read_gbps;
  return gbps;
}

/// Copies of one case's launches that are run in turn.
struct Copies {
  std::vector<std::unique_ptr<Program>> programs;
  size_t next = 0;
  double least = 1e9;  // seconds of the fastest run

  void run() {
    const auto start = std::chrono::steady_clock::now();
    programs[next]->run();
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    next = next + 1 == programs.size() ? 0 : next + 1;
  }
};

/// Both in turn, so that whatever else the machine does meets both. The mean, which the benchmark reports, is
/// of a pair; the fastest run of each is its own time.
void run_case(benchmark::State& state, const opcases::OpCase& op_case) {
  const opcases::BuiltCase built = build(op_case);
  const graph::Cost cost = built.cost();
  const double bytes = cost.bytes_read + cost.bytes_written;
  Copies fused;
  Copies unfused;
  for (size_t i = 0; i <= kCopiedBytes / static_cast<size_t>(bytes); ++i) {
    fused.programs.push_back(std::make_unique<Program>(cpu(), built, StepClass::decode, true));
    unfused.programs.push_back(std::make_unique<Program>(cpu(), built, StepClass::decode, false));
  }
  for (auto _ : state) {
    unfused.run();
    fused.run();
  }
  state.counters["unfused_us"] = unfused.least * 1e6;
  state.counters["fused_us"] = fused.least * 1e6;
  state.counters["gain"] = unfused.least / fused.least;
  state.counters["launches"] = static_cast<double>(unfused.programs[0]->launches());
  state.counters["GB/s"] = bytes * 1e-9 / fused.least;
  state.counters["share"] = bytes * 1e-9 / fused.least / read_gbps();
}

/// One op, which is not fused.
void run_op(benchmark::State& state, const opcases::OpCase& op_case) {
  const opcases::BuiltCase built = build(op_case);
  const graph::Cost cost = built.cost();
  const double bytes = cost.bytes_read + cost.bytes_written;
  Copies copies;
  for (size_t i = 0; i <= kCopiedBytes / static_cast<size_t>(bytes); ++i)
    copies.programs.push_back(std::make_unique<Program>(cpu(), built, StepClass::decode, true));
  for (auto _ : state) copies.run();
  state.counters["GB/s"] = bytes * 1e-9 / copies.least;
  state.counters["share"] = bytes * 1e-9 / copies.least / read_gbps();
}

[[maybe_unused]] const bool registered = [] {
  for (const opcases::OpCase& op_case : opcases::all_cases()) {
    if (!op_case.is_speed_case || op_case.dims[graph::Symbol::tokens] != 1) continue;
    const opcases::BuiltCase built = build(op_case);
    const bool is_fused = graph::as_fused(built.op()) != nullptr;
    if (!is_fused && (built.op().name() != "linear" || !is_block_dtype(built.input_types()[1].dtype)))
      continue;
    benchmark::RegisterBenchmark(
        op_case.name.c_str(),
        [=](benchmark::State& s) { is_fused ? run_case(s, op_case) : run_op(s, op_case); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  return true;
}();

}  // namespace
}  // namespace ingot
