#include "exec/calibration_cases.h"

#include <cmath>

#include "graph/ops/attention.h"
#include "graph/ops/sample.h"
#include "graph/ops/sampler.h"

namespace ingot::exec {

using graph::Symbol;
using graph::Value;
using graph::WeightOrder;
using opcases::CaseBuilder;
using opcases::OpCase;

OpCase linear_case(WeightBytes& weights, DType dtype, WeightOrder order, int64_t rows, int64_t in,
                   int64_t out) {
  const Array weight = weights.array(dtype, order == WeightOrder::out_in ? Shape{out, in} : Shape{in, out});
  return {.name = "linear", .dims = opcases::tokens(rows), .build = [=](CaseBuilder& b) {
            const Value x = b.f32({Symbol::tokens, in});
            return graph::linear(b.graph(), x, b.weight(weight), std::nullopt, order);
          }};
}

OpCase attention_case(const std::vector<opcases::StepPart>& parts, int64_t heads, int64_t kv_heads,
                      int64_t head_dim) {
  constexpr int64_t kPageTokens = 32;
  const opcases::PagedStep step(parts, kPageTokens);
  return {.name = "attention", .dims = step.dims, .build = [=](CaseBuilder& b) {
            const Value q = b.f32({Symbol::tokens, heads, head_dim}, 4);
            const Value keys = b.state({Symbol::cache_pages, kv_heads, kPageTokens, head_dim});
            const Value values = b.state({Symbol::cache_pages, kv_heads, kPageTokens, head_dim});
            graph::AttentionInputs inputs;
            inputs.seq_start = b.i32({graph::Dim(Symbol::sequences) + graph::Dim(1)}, step.seq_start);
            inputs.context_len = b.i32({Symbol::sequences}, step.context_len);
            inputs.block_table = b.i32({Symbol::sequences, Symbol::pages}, step.block_table);
            return graph::attention(b.graph(), q, keys, values, inputs,
                                    1.0F / std::sqrt(static_cast<float>(head_dim)), 0);
          }};
}

OpCase sample_case(int64_t rows, int64_t vocab) {
  graph::DimValues dims;
  dims[Symbol::logit_rows] = rows;
  dims[Symbol::slots] = 1;
  return {.name = "sample", .dims = dims, .build = [=](CaseBuilder& b) {
            const auto zeros = [&](int64_t columns) { return static_cast<size_t>(rows * columns); };
            std::vector<float> floats(zeros(graph::kSamplingFloats));
            std::vector<int32_t> ints(zeros(graph::kSamplingInts));
            const graph::Tensor f{
                .data = floats.data(), .dtype = DType::f32, .shape = {rows, graph::kSamplingFloats}};
            const graph::Tensor i{
                .data = ints.data(), .dtype = DType::i32, .shape = {rows, graph::kSamplingInts}};
            for (int64_t r = 0; r < rows; ++r) graph::set_sampler_row(f, i, r, graph::SamplerRow{}, -1);
            const Value logits = b.f32({Symbol::logit_rows, vocab}, 6);
            const Value fs = b.f32({Symbol::logit_rows, int64_t{graph::kSamplingFloats}}, std::move(floats));
            const Value is = b.i32({Symbol::logit_rows, int64_t{graph::kSamplingInts}}, std::move(ints));
            const Value counts =
                b.state_i32({Symbol::slots, vocab}, std::vector<int32_t>(static_cast<size_t>(vocab)));
            return graph::sample(b.graph(), logits, fs, is, counts);
          }};
}

}  // namespace ingot::exec
