#include "graph/ops/sample.h"

#include <vector>

#include "base/check.h"

namespace ingot::graph {
namespace {

class SampleOp final : public Op {
 public:
  std::string_view name() const override { return "sample"; }

  TensorType infer(std::span<const TensorType> inputs) const override {
    expect_inputs(*this, inputs, 4, 4);
    expect_rank(*this, "the logits", inputs[0], 2);
    expect_dtype(*this, "the logits", inputs[0], DType::f32);
    expect_rank(*this, "sampling_f32", inputs[1], 2);
    expect_dtype(*this, "sampling_f32", inputs[1], DType::f32);
    expect_rank(*this, "sampling_i32", inputs[2], 2);
    expect_dtype(*this, "sampling_i32", inputs[2], DType::i32);
    expect_rank(*this, "counts", inputs[3], 2);
    expect_dtype(*this, "counts", inputs[3], DType::i32);
    for (size_t i = 1; i < 3; ++i)
      expect_dim(*this, "the parameters' rows", inputs[i].dim(0), inputs[0].dim(0));
    expect_dim(*this, "sampling_f32's columns", inputs[1].dim(1), kSamplingFloats);
    expect_dim(*this, "sampling_i32's columns", inputs[2].dim(1), kSamplingInts);
    expect_dim(*this, "the counts' columns", inputs[3].dim(1), inputs[0].dim(1));
    return {DType::i32, {inputs[0].dim(0)}};
  }

  Cost cost(std::span<const Tensor> inputs, const Tensor& output) const override {
    const auto logits = static_cast<double>(inputs[0].elements());
    return {.flops = 12 * logits,
            .bytes_read = static_cast<double>(inputs[0].bytes()),
            .bytes_written = static_cast<double>(output.bytes())};
  }

  void reference(std::span<const Tensor> inputs, const Tensor& output) const override {
    const auto vocab = static_cast<size_t>(inputs[0].shape[1]);
    std::vector<Candidate> scratch(vocab);
    for (int64_t r = 0; r < output.shape[0]; ++r) {
      const std::span<const float> logits(inputs[0].f32() + r * inputs[0].shape[1], vocab);
      output.as<int32_t>()[r] = sample_row(logits, sampler_counts(inputs[2], inputs[3], r),
                                           sampler_row(inputs[1], inputs[2], r), scratch);
    }
  }
};

}  // namespace

SamplerRow sampler_row(const Tensor& floats, const Tensor& ints, int64_t r) {
  const float* f = floats.f32() + r * kSamplingFloats;
  const int32_t* i = ints.i32() + r * kSamplingInts;
  return {.temperature = f[kTemperature],
          .top_p = f[kTopP],
          .min_p = f[kMinP],
          .repetition_penalty = f[kRepetitionPenalty],
          .frequency_penalty = f[kFrequencyPenalty],
          .presence_penalty = f[kPresencePenalty],
          .top_k = i[kTopK],
          .seed = static_cast<uint64_t>(static_cast<uint32_t>(i[kSeedHigh])) << 32 |
                  static_cast<uint32_t>(i[kSeedLow]),
          .position = static_cast<uint32_t>(i[kPosition])};
}

void set_sampler_row(const Tensor& floats, const Tensor& ints, int64_t r, const SamplerRow& row,
                     int32_t counts_row) {
  float* f = floats.as<float>() + r * kSamplingFloats;
  int32_t* i = ints.as<int32_t>() + r * kSamplingInts;
  f[kTemperature] = row.temperature;
  f[kTopP] = row.top_p;
  f[kMinP] = row.min_p;
  f[kRepetitionPenalty] = row.repetition_penalty;
  f[kFrequencyPenalty] = row.frequency_penalty;
  f[kPresencePenalty] = row.presence_penalty;
  i[kTopK] = row.top_k;
  i[kSeedLow] = static_cast<int32_t>(static_cast<uint32_t>(row.seed));
  i[kSeedHigh] = static_cast<int32_t>(static_cast<uint32_t>(row.seed >> 32));
  i[kPosition] = static_cast<int32_t>(row.position);
  i[kCountsRow] = counts_row;
}

std::span<const int32_t> sampler_counts(const Tensor& ints, const Tensor& counts, int64_t r) {
  const int32_t row = ints.i32()[r * kSamplingInts + kCountsRow];
  if (row < 0) return {};
  INGOT_CHECK(row < counts.shape[0], "sample: counts row {} of {}", row, counts.shape[0]);
  return {counts.i32() + row * counts.shape[1], static_cast<size_t>(counts.shape[1])};
}

Value sample(Graph& graph, Value logits, Value floats, Value ints, Value counts, std::string label) {
  return graph.append(std::make_shared<SampleOp>(), {logits, floats, ints, counts}, std::move(label));
}

}  // namespace ingot::graph
