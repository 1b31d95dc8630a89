// The ops of a prompt's layers as a share of this machine's f32 limit, with weights in blocks of its limit
// for products of bytes; fused ones also against the single ops that they stand for: .../fused and
// .../single.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/peaks.h"
#include "backend/registry.h"
#include "graph/ops/attention.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/linear_qkv.h"
#include "opcases/random_blocks.h"

namespace ingot {
namespace {

using backend::Backend;
using graph::Graph;
using graph::LinearForm;
using graph::Tensor;
using graph::TensorType;
using graph::Value;

Backend& cpu() {
  static const std::unique_ptr<Backend> backend = backend::make_backend("cpu", {});
  return *backend;
}
const backend::Peaks& peaks() {
  static const backend::Peaks measured = cpu().measure_peaks();
  return measured;
}

double int8_gops() {
  static const double measured = cpu::measure_int8_gops(cpu::pool_of(cpu()));
  return measured;
}
/// Random bits, the same for every run.
double uniform() {
  static uint64_t state = 1;
  state = state * 6364136223846793005U + 1442695040888963407U;
  return static_cast<double>(state >> 11) * 0x1p-53;
}

/// An op, or the ops it stands for, ready to be launched over small numbers.
class Launches {
 public:
  Launches(const graph::Op& op, const std::vector<TensorType>& types, bool is_single) {
    std::vector<Value> inputs;
    for (size_t i = 0; i < types.size(); ++i) inputs.push_back(graph_.state(fmt::format("{}", i), types[i]));
    if (is_single) {
      as_fused(op)->decompose(graph_, inputs);
    } else {
      graph_.append(std::shared_ptr<const graph::Op>(&op, [](const graph::Op*) {}), inputs);
    }
    for (size_t i = 0; i < graph_.nodes().size(); ++i) place(i);
    launches_.reserve(graph_.nodes().size());
    for (size_t i = 0; i < graph_.nodes().size(); ++i) add_launch(i);
  }
  void run() {
    cpu().submit({.kernels = kernels_, .launches = launches_});
    cpu().synchronize();
  }
  double flops() const { return flops_; }
  const Tensor& input(size_t i) const { return values_[i]; }

 private:
  Value storage_of(size_t i) const {
    const graph::Node& node = graph_.nodes()[i];
    if (node.kind == graph::NodeKind::result && node.alias.id >= 0) return node.alias;
    if (node.kind == graph::NodeKind::op && node.op->alias_of())
      return node.inputs[static_cast<size_t>(*node.op->alias_of())];
    return {static_cast<int32_t>(i)};
  }
  void place(size_t i) {
    const TensorType& type = graph_.nodes()[i].type;
    Tensor tensor{.data = nullptr, .dtype = type.dtype, .shape = type.bind({})};
    if (const auto owner = static_cast<size_t>(storage_of(i).id); owner != i) {
      tensor.data = values_[owner].data;
    } else {
      storage_.push_back(Array::empty(tensor.dtype, tensor.shape));
      tensor.data = storage_.back().mutable_raw();
      if (is_block_dtype(tensor.dtype)) {
        opcases::random_blocks(tensor.dtype, {static_cast<std::byte*>(tensor.data), tensor.bytes()}, 0.1,
                               uniform);
        values_.push_back(tensor);
        return;
      }
      // Numbers of magnitude 1/8 that differ; for i32, slots in order.
      for (int64_t k = 0; k < tensor.elements(); ++k) {
        if (tensor.dtype == DType::f32) {
          tensor.as<float>()[k] = static_cast<float>(k * 7919 % 255 - 127) / 1024;
        } else if (tensor.dtype == DType::bf16) {
          tensor.as<uint16_t>()[k] = static_cast<uint16_t>((k % 3 == 0 ? 0xbd00 : 0x3d00) + k * 7919 % 128);
        } else {
          tensor.as<int32_t>()[k] = static_cast<int32_t>(k);
        }
      }
    }
    values_.push_back(tensor);
  }
  void add_launch(size_t i) {
    const graph::Node& node = graph_.nodes()[i];
    if (node.kind != graph::NodeKind::op || (node.op->alias_of() && !node.op->writes_alias())) return;
    std::vector<TensorType> types;
    auto& operands = operands_.emplace_back(std::make_unique<std::vector<Tensor>>());
    for (Value input : node.inputs) {
      types.push_back(graph_.type(input));
      operands->push_back(values_[static_cast<size_t>(input.id)]);
    }
    auto& results = operands_.emplace_back(std::make_unique<std::vector<Tensor>>());
    for (size_t r = i + 1; r < values_.size() && graph_.nodes()[r].kind == graph::NodeKind::result; ++r)
      results->push_back(values_[r]);
    const auto& inputs = *operands_[operands_.size() - 2];
    kernels_.push_back(cpu().find_kernel(
        {.op = *node.op, .inputs = types, .output = node.type, .step = backend::StepClass::prefill}));
    backend::Launch launch{
        .op = node.op.get(), .inputs = inputs, .output = values_[i], .results = *results, .workspace = {}};
    const auto* kernel = kernels_.back();
    const size_t bytes = kernel->workspace_bytes != nullptr ? kernel->workspace_bytes(cpu(), launch) : 0;
    workspaces_.push_back(cpu().allocate(bytes + 1));
    launch.workspace = {static_cast<std::byte*>(workspaces_.back().data()), bytes};
    launches_.push_back(launch);
    flops_ += node.op->cost(inputs, values_[i]).flops;
  }

  Graph graph_;
  std::vector<Array> storage_;
  std::vector<Tensor> values_;  // by node
  std::vector<std::unique_ptr<std::vector<Tensor>>> operands_;
  std::vector<const backend::Kernel*> kernels_;
  std::vector<backend::Launch> launches_;
  std::vector<PooledBuffer> workspaces_;
  double flops_ = 0;
};

/// Runs them until the time is over. `flops`: of one run.
void measure(benchmark::State& state, Launches& launches, double flops, double limit = peaks().f32_gflops) {
  launches.run();
  while (state.KeepRunning()) launches.run();
  const double all = flops * static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(all / 1e9, benchmark::Counter::kIsRate);
  state.counters["of_limit"] = benchmark::Counter(all / 1e9 / limit, benchmark::Counter::kIsRate);
}

void add(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->UseRealTime()->Unit(benchmark::kMicrosecond);
}

void add(const std::string& name, const std::shared_ptr<const graph::FusedOp>& op,
         const std::vector<TensorType>& types) {
  for (bool is_single : {false, true}) {
    add(fmt::format("{}/{}", name, is_single ? "single" : "fused"), [=](benchmark::State& state) {
      Launches launches(*op, types, is_single);
      measure(state, launches, launches.flops());
    });
  }
}

/// One prompt of `rows` tokens.
void add_attention(int64_t rows, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  const TensorType cache{DType::f32, {rows / 32, kv_heads, 32, head_dim}};
  const std::vector<TensorType> types{{DType::f32, {rows, heads, head_dim}},
                                      cache,
                                      cache,
                                      {DType::i32, {2}},  // seq_start: 0, then rows
                                      {DType::i32, {1}},  // context_len
                                      {DType::i32, {1, rows / 32}}};
  const graph::AttentionOp op(0.125F, 0);
  add(fmt::format("attention/{}/{}of{}x{}", rows, heads, kv_heads, head_dim), [=](benchmark::State& state) {
    Launches launches(op, types, false);
    launches.input(3).as<int32_t>()[1] = static_cast<int32_t>(rows);
    launches.input(4).as<int32_t>()[0] = static_cast<int32_t>(rows);
    // The op counts every key for every query; half of them are seen.
    measure(state, launches, launches.flops() / 2);
  });
}

constexpr graph::NormPrologue kRms{.kind = graph::NormPrologue::Kind::rms, .eps = 1e-6F};

/// Qwen3-0.6B: hidden 1024, 16 query and 8 key heads of 128, 3072 in the feed-forward.
void add_qwen3(int64_t rows) {
  const auto f32 = [](std::vector<graph::Dim> dims) { return TensorType{DType::f32, std::move(dims)}; };
  const auto bf16 = [](std::vector<graph::Dim> dims) { return TensorType{DType::bf16, std::move(dims)}; };
  const TensorType norm = bf16({1024});
  const TensorType cache = f32({rows / 32, 8, 32, 128});
  const graph::QkvForm qkv{.norm = kRms,
                           .heads = 16,
                           .kv_heads = 8,
                           .head_dim = 128,
                           .head_norm_eps = 1e-6F,
                           .rope = graph::RopeStyle::half};
  add(fmt::format("linear_qkv/{}", rows), std::make_shared<graph::LinearQkvOp>(qkv),
      {f32({rows, 1024}), norm, bf16({2048, 1024}), bf16({1024, 1024}), bf16({1024, 1024}), bf16({128}),
       bf16({128}), f32({rows, 128}), TensorType{DType::i32, {rows}}, cache, cache});
  const LinearForm glu{.norm = kRms, .parts = {{}, {}}, .activation = graph::Activation::silu, .gated = true};
  add(fmt::format("linear_glu/{}", rows), std::make_shared<graph::FusedLinearOp>(glu),
      {f32({rows, 1024}), norm, bf16({3072, 1024}), bf16({3072, 1024})});
  add(fmt::format("linear_add/{}", rows),
      std::make_shared<graph::FusedLinearOp>(LinearForm{.residual = true}),
      {f32({rows, 3072}), bf16({1024, 3072}), f32({rows, 1024})});
}

/// The linears of Llama-3.2-1B: hidden 2048, 8192 in the feed-forward.
void add_llama_1b(DType dtype, int64_t rows) {
  const auto f32 = [](std::vector<graph::Dim> dims) { return TensorType{DType::f32, std::move(dims)}; };
  const auto weight = [=](int64_t out, int64_t in) { return TensorType{dtype, {out, in}}; };
  const auto add_op = [&](const char* name, const LinearForm& form, const std::vector<TensorType>& types) {
    const auto op = std::make_shared<graph::FusedLinearOp>(form);
    add(fmt::format("llama_1b/{}/{}/{}", name, to_string(dtype), rows), [=](benchmark::State& state) {
      Launches launches(*op, types, false);
      measure(state, launches, launches.flops(), int8_gops());
    });
  };
  const TensorType norm = f32({2048});
  add_op("q", {.norm = kRms}, {f32({rows, 2048}), norm, weight(2048, 2048)});
  add_op("gate_up", {.norm = kRms, .parts = {{}, {}}, .activation = graph::Activation::silu, .gated = true},
         {f32({rows, 2048}), norm, weight(8192, 2048), weight(8192, 2048)});
  add_op("down", {.residual = true}, {f32({rows, 8192}), weight(2048, 8192), f32({rows, 2048})});
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  for (int64_t rows : {32, 128, 512}) ingot::add_qwen3(rows);
  using ingot::DType;
  for (DType dtype : {DType::q8_0, DType::q4_k, DType::q6_k, DType::q4_0}) {
    for (int64_t rows : {4, 32, 128, 512}) ingot::add_llama_1b(dtype, rows);
  }
  ingot::add_attention(512, 16, 8, 128);  // Qwen3-0.6B
  ingot::add_attention(512, 6, 2, 64);    // the storyteller
  ingot::add_attention(32, 6, 2, 64);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
