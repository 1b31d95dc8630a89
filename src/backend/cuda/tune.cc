// Which forms of kernels are fastest in a step: the step is recorded with each, and the recordings are run in
// turn, so that whatever else changes the device's speed changes it for all.
#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels/linear_one_row.h"
#include "base/check.h"

namespace ingot::cuda {
namespace {

/// A trial is measured in rounds, for some 100 ms in all where a step is not longer.
constexpr int kMostRounds = 15;
constexpr int kLeastRounds = 5;
constexpr double kTrialUs = 100e3;
/// Of the step: what measuring it again would differ by.
constexpr double kNoise = 0.002;

bool is_form(std::string_view name) {
  for (size_t i = 0; i < kOneRowForms; ++i) {
    if (to_string(static_cast<OneRowForm>(i)) == name) return true;
  }
  return name.starts_with(kBatchTileName) || name == batch_tile_name(kTallTile);
}

struct Trial {
  LinearForms::Form form;
  ExecutableGraph graph;
  std::vector<double> us = {};

  double median() {
    const auto middle = us.begin() + static_cast<std::ptrdiff_t>(us.size() / 2);
    std::nth_element(us.begin(), middle, us.end());
    return *middle;
  }
};

/// Microseconds of a step, of so many.
double time_steps(cudaStream_t stream, const ExecutableGraph& graph, int steps, const Event& start,
                  const Event& end) {
  check_cuda(cudaGraphLaunch(graph.get(), stream), "tune");  // its code and data are where they are in use
  check_cuda(cudaEventRecord(start.get(), stream), "tune");
  for (int i = 0; i < steps; ++i) check_cuda(cudaGraphLaunch(graph.get(), stream), "tune");
  check_cuda(cudaEventRecord(end.get(), stream), "tune");
  check_cuda(cudaEventSynchronize(end.get()), "tune");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1000 / steps;
}

}  // namespace

std::vector<backend::TunedForm> CudaBackend::tune_forms(const backend::Slice& slice) {
  if (slice.launches.empty()) return {};
  linear_forms_.listen();
  enqueue(slice);  // libraries set themselves up on first use, outside a capture
  const std::vector<LinearForms::Asked> all = linear_forms_.heard();
  const Event start = make_event(cudaEventDefault);
  const Event end = make_event(cudaEventDefault);
  std::vector<backend::TunedForm> tuned;
  for (const LinearForms::Asked& asked : all) {
    const auto is_rule = [&](const auto& form) { return form.id == asked.rule; };
    if (asked.forms.size() < 2 || std::ranges::none_of(asked.forms, is_rule)) continue;
    std::vector<Trial> trials;
    for (const LinearForms::Form& form : asked.forms) {
      linear_forms_.set({.shape = asked.shape, .form = form.name, .rule = {}});
      trials.push_back({form, Recordings::capture(stream_.get(), [&] { enqueue(slice); })});
    }
    const double once = time_steps(stream_.get(), trials.front().graph, 1, start, end);
    const auto steps = static_cast<int>(std::clamp(kTrialUs / once / kMostRounds, 1.0, 8.0));
    const auto rounds = std::clamp(static_cast<int>(kTrialUs / once / steps), kLeastRounds, kMostRounds);
    for (int round = 0; round < rounds; ++round) {
      for (Trial& trial : trials)
        trial.us.push_back(time_steps(stream_.get(), trial.graph, steps, start, end));
    }
    const auto rule = std::ranges::find_if(trials, is_rule, &Trial::form);
    Trial* best = &*rule;
    const double rule_us = rule->median();
    double best_us = rule_us;
    for (Trial& trial : trials) {
      const double us = trial.median();
      if (us >= best_us || us > rule_us * (1 - kNoise)) continue;
      best = &trial;
      best_us = us;
    }
    tuned.push_back({.shape = asked.shape,
                     .form = best->form.name,
                     .rule = rule->form.name,
                     .step_us = best_us,
                     .rule_us = rule_us});
    linear_forms_.set(tuned.back());
  }
  return tuned;
}

void CudaBackend::use_forms(std::span<const backend::TunedForm> forms) {
  for (const backend::TunedForm& form : forms) {
    if (!is_form(form.form))
      fail(ErrorCode::invalid_argument, "form of {}: there is no '{}'", form.shape, form.form);
  }
  for (const backend::TunedForm& form : forms) linear_forms_.set(form);
}

}  // namespace ingot::cuda
