// A row of logits as the sampler sees it: penalised, relative to the highest, weighed.
//
// Weights are integers, exp(logit) in units of a power of two that leaves room for the sum of a whole row:
// their sums are exact, so neither order nor division among threads and blocks changes one, and atomics may
// add them. The units, 2^-45 of the highest weight for 128 thousand tokens, are far below what a draw shows.
#pragma once

#include "backend/cuda/kernels/sample.h"

namespace ingot::cuda {

/// Orders tokens from the likeliest down: the bits of |scaled logit|, which is never above zero.
using SampleKey = uint32_t;

/// Scaled logits from here down weigh nothing: all of a vocabulary weigh less than e^-19 of the highest.
inline constexpr float kNoWeight = -31.9375F;

__device__ inline float negative_infinity() {
  return __int_as_float(static_cast<int>(0xff800000U));
}

class SampleRow {
 public:
  __device__ SampleRow(const Sample& sample, int64_t row)
      : vocab(sample.vocab),
        logits_(sample.logits + row * sample.vocab),
        floats_(sample.floats + row * Sample::kFloats),
        ints_(sample.ints + row * Sample::kInts) {
    const bool has_penalties = of(Sample::kRepetitionPenalty) != 1 || of(Sample::kFrequencyPenalty) != 0 ||
                               of(Sample::kPresencePenalty) != 0;
    const int64_t counts_row = ints_[Sample::kCountsRow];
    if (has_penalties && counts_row >= 0 && counts_row < sample.counts_rows)
      counts_ = sample.counts + counts_row * sample.vocab;
  }

  __device__ float of(Sample::Float parameter) const { return floats_[parameter]; }
  __device__ int of(Sample::Int parameter) const { return ints_[parameter]; }
  __device__ bool is_greedy() const { return of(Sample::kTemperature) <= 0 || of(Sample::kTopK) == 1; }
  __device__ bool has_top_k() const { return of(Sample::kTopK) > 0 && of(Sample::kTopK) < vocab; }
  __device__ bool has_top_p() const { return of(Sample::kTopP) < 1; }
  __device__ uint64_t seed() const {
    return static_cast<uint64_t>(static_cast<uint32_t>(of(Sample::kSeedHigh))) << 32 |
           static_cast<uint32_t>(of(Sample::kSeedLow));
  }

  /// Calls f(id, penalised logit) for the ids first, first + stride … below `end`, kBatch loads at a time.
  template <int kBatch, class F>
  __device__ __forceinline__ void for_logits(int first, int end, int stride, F f) const {
    for (int at = first; at < end; at += kBatch * stride) {
      float logits[kBatch];
      int counts[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int id = at + i * stride;
        logits[i] = id < end ? logits_[id] : 0;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int id = at + i * stride;
        counts[i] = counts_ != nullptr && id < end ? counts_[id] : 0;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int id = at + i * stride;
        if (id < end) f(id, penalised_by(logits[i], counts[i]));
      }
    }
  }

  const int vocab;

  /// The logit of `id` as the sampler sees it.
  __device__ float penalised(int id, float logit) const {
    return penalised_by(logit, counts_ == nullptr ? 0 : counts_[id]);
  }

 private:
  /// Rounded at each step, as on the host.
  __device__ float penalised_by(float logit, int count) const {
    if (isnan(logit)) logit = negative_infinity();
    if (count != 0) {
      const float penalty = of(Sample::kRepetitionPenalty);
      logit = logit > 0 ? __fdiv_rn(logit, penalty) : __fmul_rn(logit, penalty);
    }
    if (count > 0) {
      const float frequency = __fmul_rn(of(Sample::kFrequencyPenalty), static_cast<float>(count));
      logit = __fsub_rn(logit, __fadd_rn(frequency, of(Sample::kPresencePenalty)));
    }
    return logit;
  }

  const float* logits_;
  const float* floats_;
  const int32_t* ints_;
  const int32_t* counts_ = nullptr;  // [vocab]; null: no penalties
};

/// exp(scaled) in units. Not inlined: at sixteen places of a loop it would take all registers.
__device__ __noinline__ inline uint64_t weight_of(float scaled, double unit) {
  return __double2ull_rn(exp(static_cast<double>(scaled)) * unit);
}

/// Logits over the temperature, relative to the highest, with their weights.
class WeighedRow {
 public:
  /// `unit`: of weights, a power of two.
  __device__ WeighedRow(const SampleRow& row, float highest, double unit)
      : row(row), highest_(highest), temperature_(row.of(Sample::kTemperature)), unit_(unit) {
    const float min_p = row.of(Sample::kMinP);
    least_ = min_p > 0 ? log(static_cast<double>(min_p)) : static_cast<double>(negative_infinity());
  }

  __device__ SampleKey key(float logit) const {
    const float scaled = __fdiv_rn(__fsub_rn(logit, highest_), temperature_);
    // What penalties and temperatures of no sense make NaN is impossible.
    return isnan(scaled) ? __float_as_uint(-negative_infinity()) : __float_as_uint(fabsf(scaled));
  }
  __device__ uint64_t weight(SampleKey key) const {
    const float scaled = -__uint_as_float(key);
    return scaled > kNoWeight ? weight_of(scaled, unit_) : 0;
  }
  /// Whether min_p lets it be.
  __device__ bool keeps(SampleKey key) const { return -static_cast<double>(__uint_as_float(key)) >= least_; }
  __device__ uint64_t kept_weight(SampleKey key) const { return keeps(key) ? weight(key) : 0; }

  /// Calls f(id, key) as SampleRow::for_logits() does.
  template <int kBatch, class F>
  __device__ __forceinline__ void for_keys(int first, int end, int stride, F f) const {
    row.for_logits<kBatch>(first, end, stride, [&](int id, float logit) { f(id, key(logit)); });
  }

  const SampleRow& row;

 private:
  float highest_;
  float temperature_;
  double unit_;
  double least_;
};

}  // namespace ingot::cuda
