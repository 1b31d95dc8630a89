#include "graph/ops/rope_table.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace ingot::graph {
namespace {

constexpr double kTau = 2 * std::numbers::pi;

/// Llama 3.1: wavelengths beyond original/low are divided by factor, those below original/high kept.
double llama3_frequency(const RopeScaling& scaling, double frequency) {
  const auto original = static_cast<double>(scaling.original_positions);
  const double wavelength = kTau / frequency;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

/// YaRN's ramp (Peng et al., 2023, section 3.2): 0 keeps a pair's frequency, 1 divides it by factor.
struct YarnRamp {
  double low;
  double high;

  YarnRamp(const RopeScaling& scaling, int64_t rotary_dims) {
    const auto dims = static_cast<double>(rotary_dims);
    const auto pair_with_rotations = [&](double rotations) {
      return dims * std::log(static_cast<double>(scaling.original_positions) / (rotations * kTau)) /
             (2 * std::log(scaling.theta));
    };
    low = pair_with_rotations(scaling.beta_fast);
    high = pair_with_rotations(scaling.beta_slow);
    if (scaling.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dims - 1);
    if (low == high) high += 0.001;
  }
  double operator()(int64_t pair) const {
    return std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  }
};

}  // namespace

std::vector<float> rope_frequencies(const RopeScaling& scaling, int64_t rotary_dims) {
  if (rotary_dims <= 0 || rotary_dims % 2 != 0) {
    fail(ErrorCode::invalid_argument,
         "rope_table: expected an even number of rotary dimensions > 0, found {}", rotary_dims);
  }
  const bool has_divisors = scaling.kind == RopeScaling::Kind::divisors;
  if (has_divisors && scaling.divisors.size() != static_cast<size_t>(rotary_dims / 2)) {
    fail(ErrorCode::invalid_argument, "rope_table: expected {} divisors, one for each pair, found {}",
         rotary_dims / 2, scaling.divisors.size());
  }
  std::vector<float> frequencies;
  const YarnRamp ramp(scaling, rotary_dims);
  for (int64_t pair = 0; pair < rotary_dims / 2; ++pair) {
    // Published checkpoints were trained with frequencies rounded to f32 before any scaling.
    const float exponent = static_cast<float>(2 * pair) / static_cast<float>(rotary_dims);
    double frequency = 1.0F / std::pow(static_cast<float>(scaling.theta), exponent);
    switch (scaling.kind) {
      case RopeScaling::Kind::none:
        break;
      case RopeScaling::Kind::linear:
        frequency /= scaling.factor;
        break;
      case RopeScaling::Kind::llama3:
        frequency = llama3_frequency(scaling, frequency);
        break;
      case RopeScaling::Kind::yarn:
        frequency = frequency / scaling.factor * ramp(pair) + frequency * (1 - ramp(pair));
        break;
      case RopeScaling::Kind::divisors:
        frequency /= scaling.divisors[static_cast<size_t>(pair)];
        break;
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

RopeTableOp::RopeTableOp(const RopeScaling& scaling, int64_t rotary_dims)
    : scaling_(scaling), frequencies_(rope_frequencies(scaling, rotary_dims)) {}

std::string RopeTableOp::attributes() const {
  std::string text = fmt::format("dims={}, theta={}", 2 * frequencies_.size(), scaling_.theta);
  switch (scaling_.kind) {
    case RopeScaling::Kind::none:
      break;
    case RopeScaling::Kind::linear:
      text += fmt::format(", linear factor={}", scaling_.factor);
      break;
    case RopeScaling::Kind::llama3:
      text += fmt::format(", llama3 factor={} low={} high={} original={}", scaling_.factor,
                          scaling_.low_freq_factor, scaling_.high_freq_factor, scaling_.original_positions);
      break;
    case RopeScaling::Kind::yarn:
      text += fmt::format(", yarn factor={} beta={}..{} original={} attention={}{}", scaling_.factor,
                          scaling_.beta_slow, scaling_.beta_fast, scaling_.original_positions,
                          scaling_.attention_factor, scaling_.truncate ? "" : " untruncated");
      break;
    case RopeScaling::Kind::divisors:
      text += fmt::format(", divisors={}", fmt::join(scaling_.divisors, " "));
      break;
  }
  return text;
}

TensorType RopeTableOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 1, 1);
  expect_rank(*this, "positions", inputs[0], 1);
  expect_dtype(*this, "positions", inputs[0], DType::i32);
  return {DType::f32, {inputs[0].dim(0), static_cast<int64_t>(2 * frequencies_.size())}};
}

Cost RopeTableOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost = Op::cost(inputs, output);
  cost.flops = 20 * static_cast<double>(output.elements());
  return cost;
}

void RopeTableOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const auto pairs = static_cast<int64_t>(frequencies_.size());
  for (int64_t t = 0; t < output.shape[0]; ++t) {
    float* row = output.as<float>() + t * 2 * pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      // The angle is rounded to f32 as in training; its cosine is then exact to f32.
      const float angle = static_cast<float>(inputs[0].i32()[t]) * frequencies_[static_cast<size_t>(i)];
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * scaling_.attention_factor);
      row[pairs + i] = static_cast<float>(std::sin(static_cast<double>(angle)) * scaling_.attention_factor);
    }
  }
}

Value rope_table(Graph& graph, Value positions, const RopeScaling& scaling, int64_t rotary_dims,
                 std::string label) {
  return graph.append(std::make_shared<RopeTableOp>(scaling, rotary_dims), {positions}, std::move(label));
}

}  // namespace ingot::graph
