#include <chrono>
#include <cmath>
#include <random>

#include "api/llm_impl.h"
#include "api/stop_strings.h"
#include "base/check.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

float in_range(std::string_view name, double value, double min, double max) {
  if (!(value >= min && value <= max)) {
    fail(ErrorCode::invalid_argument, "{}: expected {} to {}, found {}", name, min, max, value);
  }
  return static_cast<float>(value);
}

/// The options with the checkpoint's defaults where they are silent.
SamplingUsed resolve(const SamplingOptions& options, const format::GenerationConfig& defaults) {
  constexpr double kMost = 1e6;  // of penalties and temperature: beyond it only rounding is left
  SamplingUsed used;
  // A checkpoint that asks for greedy decoding gets it, unless the caller chose a temperature.
  const double own_temperature = defaults.do_sample ? defaults.temperature : 0;
  used.temperature =
      in_range("temperature", options.temperature.value_or(static_cast<float>(own_temperature)), 0, kMost);
  const int64_t top_k = options.top_k ? *options.top_k : defaults.top_k;
  if (top_k < 0) fail(ErrorCode::invalid_argument, "top_k: expected 0 (off) or more, found {}", top_k);
  used.top_k = static_cast<int32_t>(std::min<int64_t>(top_k, INT32_MAX));
  used.top_p = in_range("top_p", options.top_p ? *options.top_p : defaults.top_p, 0, 1);
  used.min_p = in_range("min_p", options.min_p ? *options.min_p : defaults.min_p, 0, 1);
  used.repetition_penalty = in_range(
      "repetition_penalty",
      options.repetition_penalty ? *options.repetition_penalty : defaults.repetition_penalty, 1e-6, kMost);
  used.frequency_penalty =
      in_range("frequency_penalty", options.frequency_penalty.value_or(0), -kMost, kMost);
  used.presence_penalty = in_range("presence_penalty", options.presence_penalty.value_or(0), -kMost, kMost);
  if (options.seed) {
    used.seed = *options.seed;
  } else {
    std::random_device device;
    used.seed = device();  // 32 bits: short enough for people to type again
  }
  return used;
}

graph::SamplerRow sampler_row(const SamplingUsed& used) {
  return {.temperature = used.temperature,
          .top_p = used.top_p,
          .min_p = used.min_p,
          .repetition_penalty = used.repetition_penalty,
          .frequency_penalty = used.frequency_penalty,
          .presence_penalty = used.presence_penalty,
          .top_k = used.top_k,
          .seed = used.seed,
          .position = 0};
}

FinishReason to_public(serve::FinishReason reason) {
  switch (reason) {
    case serve::FinishReason::eos:
      return FinishReason::eos;
    case serve::FinishReason::length:
      return FinishReason::length;
    default:
      return FinishReason::context;
  }
}

/// Removes a sequence from its engine on every way out.
class Running {
 public:
  Running(serve::Engine& engine, serve::Request request)
      : engine_(engine), id_(engine.add(std::move(request))) {}
  ~Running() { engine_.remove(id_); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  serve::Engine& engine_;
  int64_t id_;
};

/// Streams tokens as text up to a stop string, to the result and the callback.
class TextOut {
 public:
  TextOut(const text::Tokenizer& tokenizer, const GenerateOptions& options,
          const std::function<bool(std::string_view)>& on_text, std::string& text)
      : tokenizer_(tokenizer), decoder_(tokenizer), stops_(options.stop), on_text_(on_text), text_(text) {}

  /// False: the text ends here.
  bool push(int32_t token) { return give(stops_.push(spell(token))) && !stops_.found(); }
  void finish() {
    if (cancelled_ || stops_.found()) return;
    if (give(stops_.push(decoder_.finish())) && !stops_.found()) give(stops_.finish());
  }
  bool stopped() const { return stops_.found(); }
  bool cancelled() const { return cancelled_; }
  /// Asks the callback with no text: whether to go on.
  bool still_wanted() {
    if (on_text_ && !on_text_({})) cancelled_ = true;
    return !cancelled_;
  }

 private:
  /// Many models have more rows of logits than tokens, to round sizes up. A row without a token spells
  /// nothing.
  std::string spell(int32_t token) {
    if (static_cast<size_t>(token) >= tokenizer_.vocab_size()) return {};
    return decoder_.push(token);
  }

  bool give(const std::string& piece) {
    if (piece.empty()) return true;
    text_ += piece;
    if (on_text_ && !on_text_(piece)) cancelled_ = true;
    return !cancelled_;
  }

  const text::Tokenizer& tokenizer_;
  text::StreamDecoder decoder_;
  api::StopStrings stops_;
  const std::function<bool(std::string_view)>& on_text_;
  std::string& text_;
  bool cancelled_ = false;
};

}  // namespace

GenerateResult LLM::generate(std::optional<std::string_view> prompt, const GenerateOptions& options,
                             const std::function<bool(std::string_view piece)>& on_text) {
  if (options.max_tokens < 0) {
    fail(ErrorCode::invalid_argument, "max_tokens: expected 0 (the checkpoint's) or more, found {}",
         options.max_tokens);
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty())
      fail(ErrorCode::invalid_argument, "stop: expected strings of at least one byte, found ''");
  }
  GenerateResult result;
  result.sampling = resolve(options.sampling, impl_->defaults);
  serve::Request request;
  if (prompt) {
    if (prompt->empty()) fail(ErrorCode::invalid_argument, "prompt: expected text, found an empty string");
    request.prompt = encode(*prompt);
  } else {
    if (!impl_->info.bos) {
      fail(ErrorCode::invalid_argument,
           "prompt: expected one, as this checkpoint has no token that begins a text (bos_token_id)");
    }
    request.prompt = {*impl_->info.bos};
  }
  request.sampling = sampler_row(result.sampling);
  request.max_tokens =
      options.max_tokens > 0 ? options.max_tokens : impl_->defaults.max_new_tokens.value_or(0);
  if (!options.ignore_eos) request.eos_tokens = impl_->info.eos;
  result.prompt_tokens = static_cast<int64_t>(request.prompt.size());

  serve::Engine& engine = impl_->get_engine();
  const Clock::time_point start = Clock::now();
  Clock::time_point first = start;
  const Running running(engine, std::move(request));
  TextOut out(impl_->text(), options, on_text, result.text);
  result.finish = FinishReason::cancelled;
  bool goes_on = true;
  while (goes_on && !engine.idle() && out.still_wanted()) {
    for (const serve::Delivery& delivery : engine.step()) {
      if (result.tokens.empty()) first = Clock::now();
      result.tokens.push_back(delivery.token);
      // The token that ends the text is not part of it.
      goes_on = delivery.finish == serve::FinishReason::eos || out.push(delivery.token);
      if (delivery.finish != serve::FinishReason::none) result.finish = to_public(delivery.finish);
    }
  }
  out.finish();
  if (out.stopped()) result.finish = FinishReason::stop;
  if (out.cancelled()) result.finish = FinishReason::cancelled;
  const Clock::time_point end = Clock::now();
  result.prefill_seconds = seconds_between(start, first);
  result.decode_seconds = result.tokens.empty() ? 0 : seconds_between(first, end);
  return result;
}

}  // namespace ingot
