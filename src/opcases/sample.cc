#include "graph/ops/sample.h"

#include "opcases/cases.h"

namespace ingot::opcases {
namespace {

using graph::SamplerRow;

/// Each row another mixture of filters: greedy, plain, top-k, top-p, min-p, all of them, with and without
/// penalties.
SamplerRow parameters(int64_t r) {
  SamplerRow row;
  row.seed = 0x123456789abcdefU * static_cast<uint64_t>(r + 1);
  row.position = static_cast<uint32_t>(r * 7);
  if (r % 6 == 0) return row;  // greedy
  row.temperature = 0.5F + 0.3F * static_cast<float>(r % 5);
  if (r % 6 == 2 || r % 6 == 5) row.top_k = static_cast<int32_t>(1 + r % 40);
  if (r % 6 == 3 || r % 6 == 5) row.top_p = 0.9F - 0.1F * static_cast<float>(r % 4);
  if (r % 6 == 4 || r % 6 == 5) row.min_p = 0.05F;
  if (r % 2 == 1) {
    row.repetition_penalty = 1.2F;
    row.frequency_penalty = 0.3F;
    row.presence_penalty = 0.1F;
  }
  return row;
}

OpCase situation(int64_t rows, int64_t vocab) {
  DimValues dims;
  dims[Symbol::logit_rows] = rows;
  dims[Symbol::slots] = 3;
  return {
      .name = fmt::format("sample/{}x{}", rows, vocab),
      .dims = dims,
      .build =
          [=](CaseBuilder& b) {
            std::vector<float> floats(static_cast<size_t>(rows * graph::kSamplingFloats));
            std::vector<int32_t> ints(static_cast<size_t>(rows * graph::kSamplingInts));
            const graph::Tensor f{
                .data = floats.data(), .dtype = DType::f32, .shape = {rows, graph::kSamplingFloats}};
            const graph::Tensor i{
                .data = ints.data(), .dtype = DType::i32, .shape = {rows, graph::kSamplingInts}};
            for (int64_t r = 0; r < rows; ++r) {
              const SamplerRow row = parameters(r);
              graph::set_sampler_row(f, i, r, row, row.has_penalties() ? static_cast<int32_t>(r % 3) : -1);
            }
            std::vector<int32_t> counts(static_cast<size_t>(3 * vocab));
            for (int32_t& count : counts) count = std::max(-1, b.below(12) - 8);  // -1, 0, 1, 2, 3
            const Value logits = b.f32({Symbol::logit_rows, vocab}, 6);
            const Value fs = b.f32({Symbol::logit_rows, int64_t{graph::kSamplingFloats}}, std::move(floats));
            const Value is = b.i32({Symbol::logit_rows, int64_t{graph::kSamplingInts}}, std::move(ints));
            return graph::sample(b.graph(), logits, fs, is,
                                 b.state_i32({Symbol::slots, vocab}, std::move(counts)));
          },
      .tolerance = {},
      .rows_are_independent = true};
}

}  // namespace

std::vector<OpCase> sample_cases() {
  std::vector<OpCase> cases{situation(0, 5)};
  for (int64_t rows : {1, 2, 17}) {
    for (int64_t vocab : {1, 2, 63, 65, 1000}) cases.push_back(situation(rows, vocab));
  }
  OpCase speed = situation(4, 128256);
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  return cases;
}

std::vector<BadCase> sample_bad_cases() {
  struct Types {
    TensorType logits{DType::f32, {Symbol::logit_rows, 50}};
    TensorType floats{DType::f32, {Symbol::logit_rows, int64_t{graph::kSamplingFloats}}};
    TensorType ints{DType::i32, {Symbol::logit_rows, int64_t{graph::kSamplingInts}}};
    TensorType counts{DType::i32, {Symbol::slots, 50}};
  };
  const auto with = [](const std::function<void(Types&)>& change) {
    return [=](Graph& g) {
      Types t;
      change(t);
      const Value logits = g.input("logits", t.logits);
      const Value floats = g.input("floats", t.floats);
      const Value ints = g.input("ints", t.ints);
      graph::sample(g, logits, floats, ints, g.state("counts", t.counts));
    };
  };
  return {
      {"logits_of_rank_1", with([](Types& t) {
         t.logits = {DType::f32, {50}};
       }),
       "sample: expected the logits of rank 2, found f32[50]"},
      {"logits_of_f16", with([](Types& t) { t.logits.dtype = DType::f16; }),
       "sample: expected the logits of type f32, found f16[R, 50]"},
      {"floats_of_other_rows", with([](Types& t) { t.floats.dims[0] = Symbol::sequences; }),
       "sample: expected the parameters' rows to be R, found S"},
      {"floats_of_too_few_columns", with([](Types& t) { t.floats.dims[1] = 5; }),
       "sample: expected sampling_f32's columns to be 6, found 5"},
      {"ints_of_too_many_columns", with([](Types& t) { t.ints.dims[1] = 6; }),
       "sample: expected sampling_i32's columns to be 5, found 6"},
      {"ints_of_floats", with([](Types& t) { t.ints.dtype = DType::f32; }),
       "sample: expected sampling_i32 of type i32, found f32[R, 5]"},
      {"counts_of_another_vocabulary", with([](Types& t) { t.counts.dims[1] = 49; }),
       "sample: expected the counts' columns to be 50, found 49"},
      {"counts_of_floats", with([](Types& t) { t.counts.dtype = DType::f32; }),
       "sample: expected counts of type i32, found f32[N, 50]"},
  };
}

}  // namespace ingot::opcases
