#include <algorithm>
#include <chrono>
#include <cmath>

#include "api/llm_impl.h"
#include "base/check.h"

namespace ingot {
namespace {

/// -log softmax(logits)[target], in nats.
double negative_log_likelihood(std::span<const float> logits, int32_t target) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
  return std::log(sum) + max - static_cast<double>(logits[static_cast<size_t>(target)]);
}

}  // namespace

PerplexityResult LLM::perplexity(std::string_view text, const PerplexityOptions& options,
                                 const std::function<bool(int64_t done, int64_t total)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  PerplexityResult result;
  result.bytes = static_cast<int64_t>(text.size());
  result.window = options.window == 0 ? impl_->context : options.window;
  if (result.window < 2 || result.window > impl_->context) {
    fail(ErrorCode::invalid_argument, "window: expected 2 to {} tokens (the context), found {}",
         impl_->context, options.window);
  }
  result.stride = options.stride == 0 ? result.window / 2 : options.stride;
  if (result.stride < 1 || result.stride > result.window) {
    fail(ErrorCode::invalid_argument, "stride: expected 1 to {} tokens (the window), found {}", result.window,
         options.stride);
  }
  const std::vector<int32_t> tokens = encode(text);
  const auto count = static_cast<int64_t>(tokens.size());
  if (count < 2) fail(ErrorCode::invalid_argument, "text: expected at least 2 tokens, found {}", count);

  // As many rows of logits a step as fit into 64 MiB.
  const int64_t vocab = impl_->model->dimensions().vocab;
  const int64_t chunk =
      std::clamp<int64_t>((int64_t{64} << 20) / (4 * vocab), 1, std::min(api::kPrefillTokens, result.window));
  serve::Stepper stepper = impl_->make_stepper(serve::Head::logits, {.sequences = 1,
                                                                     .context = result.window,
                                                                     .prefill_tokens = chunk,
                                                                     .cache_tokens = 0,
                                                                     .prefill_rows = chunk});
  kv::SequencePages pages(stepper.cache(), result.window);
  pages.grow(result.window);
  int64_t scored_to = 1;  // tokens below it are scored; the first never is
  for (int64_t begin = 0; scored_to < count && begin + 1 < count; begin += result.stride) {
    const int64_t end = std::min(begin + result.window, count);
    for (int64_t from = begin; from + 1 < end;) {
      // Rows predict the token after them: the last token of a window is only predicted.
      const int64_t to = std::min(from + chunk, end - 1);
      const int64_t first_row = std::clamp(scored_to - 1, from, to);
      serve::StepSequence part;
      part.tokens = {tokens.data() + from, static_cast<size_t>(to - from)};
      part.position = from - begin;
      part.pages = pages.pages();
      part.logit_rows = to - first_row;
      const graph::Tensor logits = stepper.run(backend::StepClass::prefill, {&part, 1});
      for (int64_t row = first_row; row < to; ++row) {
        const float* values = logits.f32() + (row - first_row) * vocab;
        result.nll += negative_log_likelihood({values, static_cast<size_t>(vocab)},
                                              tokens[static_cast<size_t>(row + 1)]);
        ++result.scored_tokens;
      }
      scored_to = std::max(scored_to, to + 1);
      from = to;
      if (progress && !progress(result.scored_tokens, count - 1)) {
        fail(ErrorCode::invalid_argument, "perplexity: cancelled after {} of {} tokens", result.scored_tokens,
             count - 1);
      }
    }
  }
  result.perplexity = std::exp(result.nll / static_cast<double>(result.scored_tokens));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace ingot
