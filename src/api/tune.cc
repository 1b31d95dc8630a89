#include <algorithm>
#include <chrono>

#include "api/llm_impl.h"
#include "api/repeated_step.h"
#include "base/check.h"
#include "exec/tuning.h"

namespace ingot {

TuneReport LLM::tune(const TuneOptions& options) {
  constexpr int64_t kContext = 256;
  const int64_t most = impl_->context;
  const int64_t context = options.context == 0 ? std::min(kContext, most) : options.context;
  if (context < 1 || context > most) {
    fail(ErrorCode::invalid_argument, "context: expected 1 to {} tokens (the context), found {}", most,
         context);
  }
  if (options.batch < 1 || options.batch > kMaxSequences) {
    fail(ErrorCode::invalid_argument, "batch: expected 1 to {} sequences, found {}", kMaxSequences,
         options.batch);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto& backends = impl_->devices.backends;
  serve::StepperLimits limits = impl_->limits();
  limits.sequences = options.batch;
  serve::Stepper stepper = impl_->make_stepper(serve::Head::tokens, limits);
  const api::StepShape shape{
      .step = backend::StepClass::decode, .sequences = options.batch, .tokens = 1, .context = context};
  const bool works_in_host_memory =
      std::ranges::any_of(backends, [](const auto& backend) { return backend->limits().shares_host_memory; });
  api::RepeatedStep repeated(stepper, shape, impl_->info.vocab, works_in_host_memory);
  repeated.run();

  TuneReport report;
  const exec::TuningOptions how{.path = {}, .notice = options.notice};
  for (const auto& forms : repeated.tune()) {
    for (const backend::TunedForm& form : forms.forms) {
      report.shapes.push_back({.shape = form.shape,
                               .form = form.form,
                               .rule = form.rule,
                               .step_us = form.step_us,
                               .rule_us = form.rule_us});
    }
    if (!forms.forms.empty()) report.path = exec::keep_tuning(*forms.backend, forms.forms, how);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace ingot
