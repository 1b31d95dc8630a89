#include "exec/explain.h"

#include <algorithm>

#include "api/llm_impl.h"
#include "api/repeated_step.h"
#include "base/check.h"
#include "exec/calibrate.h"

namespace ingot {
namespace {

using api::RepeatedStep;
using api::StepShape;
using backend::StepClass;

constexpr int64_t kPromptTokens = 256;  // when none are asked for
constexpr int kWarmups = 2;
constexpr int kLeastRepetitions = 5;
constexpr int kMostRepetitions = 50;
constexpr double kSecondsPerStep = 0.5;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Samples of several times taken together.
class Samples {
 public:
  explicit Samples(size_t times) : current(times), samples_(times) {}
  std::vector<double> current;  // to write
  void keep() {
    for (size_t i = 0; i < current.size(); ++i) samples_[i].push_back(current[i]);
  }
  std::vector<double> medians() const {
    std::vector<double> medians;
    medians.reserve(samples_.size());
    for (const auto& samples : samples_) medians.push_back(median(samples));
    return medians;
  }

 private:
  std::vector<std::vector<double>> samples_;
};

struct LaunchTimes {
  explicit LaunchTimes(const exec::Plan& plan)
      : launches(plan.launches.size()), transfers(plan.transfers.size()) {}
  Samples launches;
  Samples transfers;
};

/// The devices with what predictions need: a calibration each, measured now where there is none and measuring
/// is wanted. The plans stay those that were made without.
struct Predicted {
  Predicted(std::span<const exec::Device> planned, const ExplainOptions& options)
      : devices(planned.begin(), planned.end()) {
    for (exec::Device& device : devices) {
      if (device.costs != nullptr) continue;
      exec::CalibrationOptions how;
      how.notice = options.notice;
      std::optional<exec::Calibration> calibration;
      if (options.profile) {
        calibration = exec::load_or_calibrate(*device.backend, how);
      } else {
        calibration = exec::load_calibration(*device.backend, how);
      }
      if (!calibration) {
        notes.push_back(device.name + " is not calibrated (ingot calibrate), so nothing is predicted for it");
        continue;
      }
      device.calibration_hash = calibration->hash();
      costs.push_back(std::make_unique<exec::DeviceCosts>(std::move(calibration->costs)));
      device.costs = costs.back().get();
    }
  }
  std::vector<exec::Device> devices;
  std::vector<std::string> notes;
  std::vector<std::unique_ptr<exec::DeviceCosts>> costs;
};

ExplainStep explain_step(RepeatedStep& repeated, const StepShape& shape, const ExplainOptions& options,
                         const Predicted& predicted, LaunchTimes& times) {
  ExplainStep step = exec::explain(repeated.plan(), repeated.dims(), predicted.devices);
  step.notes.insert(step.notes.end(), predicted.notes.begin(), predicted.notes.end());
  step.context = shape.context;
  if (!options.profile) return step;
  for (int i = 0; i < kWarmups; ++i) repeated.run();
  const double once = repeated.timed_us() * 1e-6;
  const int repetitions = options.repetitions > 0 ? options.repetitions
                                                  : std::clamp(static_cast<int>(kSecondsPerStep / once),
                                                               kLeastRepetitions, kMostRepetitions);
  std::vector<double> steps;
  for (int i = 0; i < repetitions; ++i) {
    // In turn: other users of a shared machine slow both alike.
    steps.push_back(repeated.timed_us());
    repeated.profile(times.launches.current, times.transfers.current);
    times.launches.keep();
    times.transfers.keep();
  }
  step.step_us = median(steps);
  return step;
}

}  // namespace

Explanation LLM::explain(const ExplainOptions& options) {
  const auto check_range = [](std::string_view name, int64_t value, int64_t least, int64_t most,
                              std::string_view what) {
    if (value >= least && value <= most) return;
    fail(ErrorCode::invalid_argument, "{}: expected {} to {} {}, found {}", name, least, most, what, value);
  };
  const int64_t most = impl_->context;
  const int64_t prompt =
      options.prompt_tokens == 0 ? std::min(kPromptTokens, most - 1) : options.prompt_tokens;
  check_range("prompt", prompt, 1, most, "tokens (the context)");
  const int64_t context = options.context == 0 ? std::min(prompt + 1, most) : options.context;
  check_range("context", context, 1, most, "tokens (the context)");
  check_range("batch", options.batch, 1, 1024, "sequences");
  check_range("repetitions", options.repetitions, 0, 1000, "repetitions");

  Explanation explanation;
  explanation.model = impl_->info.folder;
  explanation.architecture = impl_->info.architecture;
  explanation.layers = impl_->info.layers;
  explanation.parameters = impl_->info.parameters;
  explanation.repetitions = options.repetitions;
  const Predicted predicted(impl_->devices.devices, options);
  for (const exec::Device& device : predicted.devices)
    explanation.devices.push_back({.name = device.name, .description = device.backend->limits().device});
  // A limit is the most that was seen: before the steps and after them.
  const auto measure_limits = [&] {
    for (size_t i = 0; options.profile && i < predicted.devices.size(); ++i) {
      const backend::Peaks peaks = predicted.devices[i].backend->measure_peaks();
      ExplainDevice& device = explanation.devices[i];
      device.read_gbps = std::max(device.read_gbps, peaks.read_gbps);
      device.f32_gflops = std::max(device.f32_gflops, peaks.f32_gflops);
      device.int8_gops = std::max(device.int8_gops, peaks.int8_gops);
      device.matrix16_gflops = std::max(device.matrix16_gflops, peaks.matrix16_gflops);
    }
  };
  measure_limits();

  std::vector<StepShape> shapes;
  if (options.decode) {
    shapes.push_back(
        {.step = StepClass::decode, .sequences = options.batch, .tokens = 1, .context = context});
  }
  if (options.prefill) {
    shapes.push_back({.step = StepClass::prefill,
                      .sequences = 1,
                      .tokens = std::min(prompt, impl_->devices.prefill_tokens),
                      .context = prompt});
  }
  const bool works_in_host_memory = std::ranges::any_of(
      impl_->devices.backends, [](const auto& backend) { return backend->limits().shares_host_memory; });
  std::vector<LaunchTimes> times;
  for (const StepShape& shape : shapes) {
    // The plans that generate() takes, but for the number of sequences.
    serve::StepperLimits limits = impl_->limits();
    limits.sequences = shape.sequences;
    serve::Stepper stepper = impl_->make_stepper(serve::Head::tokens, limits);
    RepeatedStep repeated(stepper, shape, impl_->info.vocab, works_in_host_memory);
    times.emplace_back(repeated.plan());
    explanation.steps.push_back(explain_step(repeated, shape, options, predicted, times.back()));
  }
  if (!options.profile) return explanation;
  measure_limits();
  for (size_t i = 0; i < times.size(); ++i) {
    exec::add_times(explanation.steps[i], times[i].launches.medians(), times[i].transfers.medians(),
                    explanation.devices);
  }
  return explanation;
}

}  // namespace ingot
