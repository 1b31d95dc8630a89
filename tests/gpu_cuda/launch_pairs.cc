// Two launches in a row give the same as one slice, where the first may do some of the second's work, and one
// by one: rows that are rounded as they are written, logits whose highest is found as they are.
#include <fmt/format.h>

#include "gpu/gpu_test.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/sample.h"
#include "opcases/cases.h"
#include "ops/case_checks.h"

namespace ingot {
namespace {

using graph::LinearForm;
using graph::Value;

constexpr graph::NormPrologue kRms{.kind = graph::NormPrologue::Kind::rms, .eps = 1e-5F};

/// A linear in bf16.
opcases::OpCase linear(const LinearForm& form, int64_t in, int64_t out, int64_t rows = 1) {
  return {.name = fmt::format("{}x{}x{}", rows, in, out),
          .dims = opcases::tokens(rows),
          .build = [=](opcases::CaseBuilder& b) {
            std::vector<Value> inputs{b.f32({graph::Symbol::tokens, in})};
            for (int i = 0; i < form.norm.inputs(); ++i) inputs.push_back(b.weight(DType::bf16, {in}));
            for (size_t i = 0; i < form.parts.size(); ++i) inputs.push_back(b.weight(DType::bf16, {out, in}));
            if (form.residual) inputs.push_back(b.f32({graph::Symbol::tokens, out}));
            return b.graph().append(std::make_shared<graph::FusedLinearOp>(form), std::move(inputs));
          }};
}

/// One of as many outputs as inputs, to which its own rows are added.
opcases::OpCase added_to_its_rows(int64_t width, int64_t rows) {
  return {.name = fmt::format("{}x{} and its rows", rows, width),
          .dims = opcases::tokens(rows),
          .build = [=](opcases::CaseBuilder& b) {
            const Value x = b.f32({graph::Symbol::tokens, width});
            const LinearForm form{.residual = true};
            return b.graph().append(std::make_shared<graph::FusedLinearOp>(form),
                                    {x, b.weight(DType::bf16, {width, width}), x});
          }};
}

opcases::OpCase sampling(const graph::SamplerRow& row, int64_t vocab) {
  graph::DimValues dims;
  dims[graph::Symbol::logit_rows] = 1;
  dims[graph::Symbol::slots] = 1;
  return {
      .name = "sample", .dims = dims, .build = [=](opcases::CaseBuilder& b) {
        std::vector<float> floats(graph::kSamplingFloats);
        std::vector<int32_t> ints(graph::kSamplingInts);
        const Tensor f{.data = floats.data(), .dtype = DType::f32, .shape = {1, graph::kSamplingFloats}};
        const Tensor i{.data = ints.data(), .dtype = DType::i32, .shape = {1, graph::kSamplingInts}};
        graph::set_sampler_row(f, i, 0, row, row.has_penalties() ? 0 : -1);
        std::vector<int32_t> counts(static_cast<size_t>(vocab));
        for (int32_t& count : counts) count = std::max(-1, b.below(12) - 8);
        const Value logits = b.f32({graph::Symbol::logit_rows, vocab});
        const Value fs =
            b.f32({graph::Symbol::logit_rows, int64_t{graph::kSamplingFloats}}, std::move(floats));
        const Value is = b.i32({graph::Symbol::logit_rows, int64_t{graph::kSamplingInts}}, std::move(ints));
        return graph::sample(b.graph(), logits, fs, is,
                             b.state_i32({graph::Symbol::slots, vocab}, std::move(counts)));
      }};
}

class GpuLaunchPairs : public OnGpu<> {
 protected:
  /// A launch on copies of a case's operands; `x`: in place of the first, wherever it is read.
  class Placed {
   public:
    Placed(Backend& gpu, const BuiltCase& built, const void* x)
        : kernel_(kernel_of(gpu, built, StepClass::decode)) {
      operands_ = built.inputs();
      const void* const first = operands_.front().data;
      for (Tensor& operand : operands_) {
        if (x != nullptr && operand.data == first) {
          operand.data = const_cast<void*>(x);
          continue;
        }
        buffers_.push_back(gpu.allocate(operand.bytes()));
        gpu.copy(buffers_.back().data(), operand.data, operand.bytes());
        operand.data = buffers_.back().data();
      }
      Tensor output = built.output();
      buffers_.push_back(gpu.allocate(output.bytes()));
      output.data = buffers_.back().data();
      launch_ = {.op = &built.op(), .inputs = operands_, .output = output, .results = {}, .workspace = {}};
      const size_t bytes = kernel_->workspace_bytes != nullptr ? kernel_->workspace_bytes(gpu, launch_) : 0;
      buffers_.push_back(gpu.allocate(bytes));
      launch_.workspace = {static_cast<std::byte*>(buffers_.back().data()), bytes};
    }
    const backend::Kernel* kernel() const { return kernel_; }
    const backend::Launch& launch() const { return launch_; }
    std::vector<std::byte> output(Backend& gpu) const {
      std::vector<std::byte> bytes(launch_.output.bytes());
      gpu.copy(bytes.data(), launch_.output.data, bytes.size());
      return bytes;
    }

   private:
    const backend::Kernel* kernel_;
    std::vector<Tensor> operands_;
    std::vector<PooledBuffer> buffers_;
    backend::Launch launch_;
  };

  void expect_same(const opcases::OpCase& first_case, const opcases::OpCase& second_case) {
    const BuiltCase built_first = build(first_case);
    const BuiltCase built_second = build(second_case);
    enum class As { slices, slice, slice_that_alone_reads };
    const auto run = [&](As as) {
      const Placed first(gpu(), built_first, nullptr);
      const Placed second(gpu(), built_second, first.launch().output.data);
      const backend::Kernel* const kernels[] = {first.kernel(), second.kernel()};
      backend::Launch launches[] = {first.launch(), second.launch()};
      launches[0].is_for_next = as == As::slice_that_alone_reads;
      if (as == As::slices) {
        gpu().submit({.kernels = {kernels, 1}, .launches = {launches, 1}});
        gpu().submit({.kernels = {kernels + 1, 1}, .launches = {launches + 1, 1}});
      } else {
        gpu().submit({.kernels = kernels, .launches = launches});
      }
      gpu().synchronize();
      return second.output(gpu());
    };
    const std::vector<std::byte> apart = run(As::slices);
    for (As as : {As::slice, As::slice_that_alone_reads})
      EXPECT_TRUE(run(as) == apart) << first_case.name << ", then " << second_case.name;
  }
};

TEST_F(GpuLaunchPairs, SamplingTakesWhatAnyLinearBeforeItWrites) {
  graph::SamplerRow with_penalties;
  with_penalties.temperature = 0.8F;
  with_penalties.top_k = 40;
  with_penalties.repetition_penalty = 1.2F;
  with_penalties.presence_penalty = 0.1F;
  const LinearForm forms[] = {
      {},
      {.norm = kRms},
      {.residual = true},
      {.norm = kRms, .parts = {{}, {}}, .activation = graph::Activation::silu, .gated = true},
  };
  for (const LinearForm& form : forms) {
    for (const auto& [in, out] : {std::pair{64, 96}, {72, 41}, {1024, 5008}}) {
      for (const graph::SamplerRow& row : {graph::SamplerRow{}, with_penalties})
        expect_same(linear(form, in, out), sampling(row, out));
    }
  }
}

TEST_F(GpuLaunchPairs, LinearsTakeRowsThatWereRoundedBefore) {
  const LinearForm gated{
      .norm = kRms, .parts = {{}, {}}, .activation = graph::Activation::silu, .gated = true};
  const LinearForm residual{.residual = true};
  for (const auto& [in, between, out] :
       {std::tuple{64, 96, 32}, {64, 96, 41}, {2048, 5120, 2064}, {1024, 3072, 1024}, {512, 8192, 512}})
    expect_same(linear(gated, in, between), linear(residual, between, out));
  // Of 9 to 64 rows, in tiles of clusters and in those for each multiprocessor.
  for (const auto& [rows, in, between] :
       {std::tuple{9, 512, 1024}, {20, 512, 5000}, {16, 96, 8712}, {33, 2080, 9000}, {64, 512, 14344}})
    expect_same(linear(gated, in, between, rows), linear(residual, between, 512, rows));
}

TEST_F(GpuLaunchPairs, LinearsThatAddTheirOwnRowsReadThemAsTheyAre) {
  const LinearForm gated{
      .norm = kRms, .parts = {{}, {}}, .activation = graph::Activation::silu, .gated = true};
  for (int64_t rows : {1, 3, 16, 64})
    expect_same(linear(gated, 512, 1024, rows), added_to_its_rows(1024, rows));
}

}  // namespace
}  // namespace ingot
