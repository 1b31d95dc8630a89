// sample: one token id a row of logits, by the filters of sampler.h.
#pragma once

#include "graph/graph.h"
#include "graph/ops/sampler.h"

namespace ingot::graph {

/// Columns of the step input `sampling_f32` [R, kSamplingFloats].
enum SamplingFloat : int64_t {
  kTemperature,
  kTopP,
  kMinP,
  kRepetitionPenalty,
  kFrequencyPenalty,
  kPresencePenalty,
  kSamplingFloats
};
/// Columns of the step input `sampling_i32` [R, kSamplingInts].
enum SamplingInt : int64_t { kTopK, kSeedLow, kSeedHigh, kPosition, kCountsRow, kSamplingInts };

/// The parameters of row r of both step inputs.
SamplerRow sampler_row(const Tensor& floats, const Tensor& ints, int64_t r);
void set_sampler_row(const Tensor& floats, const Tensor& ints, int64_t r, const SamplerRow& row,
                     int32_t counts_row);

/// The token counts that row r's sequence has in `counts` [N, vocab]; empty where counts_row is negative.
std::span<const int32_t> sampler_counts(const Tensor& ints, const Tensor& counts, int64_t r);

/// logits: f32 [R, vocab]; floats, ints: the parameters, a row each; counts: i32 [N, vocab], see sampler.h.
/// Returns i32 [R].
Value sample(Graph& graph, Value logits, Value floats, Value ints, Value counts, std::string label = {});

}  // namespace ingot::graph
