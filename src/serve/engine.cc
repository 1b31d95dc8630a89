#include "serve/engine.h"

#include <algorithm>

#include "base/check.h"

namespace ingot::serve {

using backend::StepClass;

Engine::Engine(std::shared_ptr<const model::Model> model, std::span<const exec::Device> devices,
               const StepperLimits& limits, const CompileOptions& options,
               std::span<const exec::PassedOver> missing, exec::PlanCache* plans)
    : model_(std::move(model)), stepper_(model_, devices, Head::tokens, limits, options, missing, plans) {
  reserve();
}

Engine::Engine(std::shared_ptr<const model::Model> model, backend::Backend& backend,
               const StepperLimits& limits)
    : model_(std::move(model)), stepper_(model_, backend, Head::tokens, limits) {
  reserve();
}

void Engine::reserve() {
  const auto most = static_cast<size_t>(stepper_.limits().sequences);
  slots_.assign(most, false);
  sequences_.reserve(most);
  scheduled_.reserve(most);
  step_.reserve(most);
  deliveries_.reserve(most);
  for (Flight& flight : flights_) flight.rows.reserve(most);
}

int64_t Engine::add(Request request) {
  const StepperLimits& limits = stepper_.limits();
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0) fail(ErrorCode::invalid_argument, "prompt: expected at least one token, found none");
  if (prompt >= limits.context) {
    fail(ErrorCode::invalid_argument,
         "prompt: expected at most {} tokens (the context of {} less one to generate), found {}",
         limits.context - 1, limits.context, prompt);
  }
  for (int32_t token : request.prompt) {
    if (token < 0 || token >= model_->dimensions().vocab) {
      fail(ErrorCode::invalid_argument, "prompt: expected tokens below {}, found {}",
           model_->dimensions().vocab, token);
    }
  }
  const auto free_slot = std::find(slots_.begin(), slots_.end(), false);
  if (free_slot == slots_.end()) {
    fail(ErrorCode::out_of_memory, "engine: all {} sequences are in use", limits.sequences);
  }
  auto sequence =
      std::make_unique<Sequence>(Sequence{.id = next_id_++,
                                          .request = std::move(request),
                                          .tokens = {},
                                          .prompt_tokens = prompt,
                                          .cached = 0,
                                          .slot = static_cast<int32_t>(free_slot - slots_.begin()),
                                          .finish = FinishReason::none,
                                          .pages = {stepper_.cache(), limits.context}});
  sequence->tokens = sequence->request.prompt;
  sequence->tokens.reserve(static_cast<size_t>(limits.context) + 1);
  if (sequence->request.sampling.has_penalties()) stepper_.set_counts(sequence->slot, sequence->tokens);
  *free_slot = true;
  sequences_.push_back(std::move(sequence));
  return sequences_.back()->id;
}

void Engine::remove(int64_t id) {
  const auto found =
      std::find_if(sequences_.begin(), sequences_.end(), [&](const auto& s) { return s->id == id; });
  if (found == sequences_.end()) return;
  slots_[static_cast<size_t>((*found)->slot)] = false;
  sequences_.erase(found);
}

bool Engine::idle() const {
  return std::all_of(sequences_.begin(), sequences_.end(),
                     [](const auto& s) { return s->finish != FinishReason::none; });
}

bool Engine::prefill_waits() const {
  return std::any_of(sequences_.begin(), sequences_.end(),
                     [](const auto& s) { return s->finish == FinishReason::none && !s->prefilled(); });
}

/// Puts the next tokens of a sequence into the step.
void Engine::add_part(Sequence& sequence, std::span<const int32_t> tokens) {
  const int64_t end = sequence.cached + static_cast<int64_t>(tokens.size());
  sequence.pages.grow(end);
  StepSequence part;
  part.tokens = tokens;
  part.position = sequence.cached;
  part.pages = sequence.pages.pages();
  part.logit_rows = end >= static_cast<int64_t>(sequence.tokens.size()) ? 1 : 0;  // all of it is known then
  part.sampling = sequence.request.sampling;
  part.sampling.position = static_cast<uint32_t>(end);
  part.counts_row = sequence.request.sampling.has_penalties() ? sequence.slot : -1;
  scheduled_.push_back(&sequence);
  step_.push_back(part);
}

/// Prompts first, oldest first, as many tokens as a prefill step takes; else one token of every sequence.
StepClass Engine::schedule() {
  scheduled_.clear();
  step_.clear();
  const StepClass step = prefill_waits() ? StepClass::prefill : StepClass::decode;
  int64_t room = stepper_.limits().prefill_tokens;
  for (const auto& sequence : sequences_) {
    if (sequence->finish != FinishReason::none) continue;
    int64_t count = 1;
    if (step == StepClass::prefill) {
      count = std::min(room, sequence->prompt_tokens - sequence->cached);
      if (count <= 0) continue;
      room -= count;
    }
    add_part(*sequence, {sequence->tokens.data() + sequence->cached, static_cast<size_t>(count)});
  }
  return step;
}

void Engine::deliver(Sequence& sequence, int32_t token) {
  sequence.tokens.push_back(token);  // within the capacity reserved by add()
  if (sequence.request.sampling.has_penalties()) stepper_.count(sequence.slot, token);
  const auto generated = static_cast<int64_t>(sequence.tokens.size()) - sequence.prompt_tokens;
  const auto& eos = sequence.request.eos_tokens;
  if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
    sequence.finish = FinishReason::eos;
  } else if (sequence.request.max_tokens > 0 && generated >= sequence.request.max_tokens) {
    sequence.finish = FinishReason::length;
  } else if (static_cast<int64_t>(sequence.tokens.size()) >= stepper_.limits().context) {
    sequence.finish = FinishReason::context;
  }
  deliveries_.push_back({sequence.id, token, sequence.finish});
}

Engine::Sequence* Engine::find(int64_t id) const {
  const auto found =
      std::find_if(sequences_.begin(), sequences_.end(), [&](const auto& s) { return s->id == id; });
  return found == sequences_.end() ? nullptr : found->get();
}

/// Starts the scheduled step.
void Engine::launch(StepClass step, bool feed) {
  Flight& flight = flights_[in_flight_];
  flight.rows.clear();
  for (size_t i = 0; i < scheduled_.size(); ++i) {
    if (step_[i].logit_rows > 0) flight.rows.push_back(scheduled_[i]->id);
  }
  flight.started = stepper_.start(step, step_, feed);
  for (size_t i = 0; i < scheduled_.size(); ++i)
    scheduled_[i]->cached += static_cast<int64_t>(step_[i].tokens.size());
  ++in_flight_;
}

/// Whether the step after the one in flight is known but for its tokens: a decode step of the same sequences,
/// none of which ends with the token in flight as far as can be told.
bool Engine::can_run_ahead() const {
  if (!stepper_.can_run_ahead() || prefill_waits() || flights_[0].started.plan == 0) return false;
  size_t running = 0;
  int64_t new_pages = 0;
  for (const auto& sequence : sequences_) {
    if (sequence->finish != FinishReason::none) continue;
    if (sequence->cached % kv::kPageTokens == 0) ++new_pages;
    const int64_t tokens = sequence->cached + 1;  // with the one in flight
    const int64_t most = sequence->request.max_tokens;
    if (most > 0 && tokens - sequence->prompt_tokens >= most) return false;
    if (tokens >= stepper_.limits().context) return false;
    if (sequence->request.sampling.has_penalties()) return false;  // the host counts tokens
    if (running >= flights_[0].rows.size() || flights_[0].rows[running] != sequence->id) return false;
    ++running;
  }
  return running == flights_[0].rows.size() && new_pages <= stepper_.cache().free_pages();
}

/// Starts the step after the one in flight, whose tokens are still on the device.
void Engine::run_ahead() {
  static constexpr int32_t kUnknown = 0;
  scheduled_.clear();
  step_.clear();
  for (const auto& sequence : sequences_) {
    if (sequence->finish == FinishReason::none) add_part(*sequence, {&kUnknown, 1});
  }
  launch(StepClass::decode, true);
}

/// Waits for the step that was started first and delivers its tokens.
void Engine::land() {
  const graph::Tensor next = stepper_.finish(flights_[0].started);
  for (size_t row = 0; row < flights_[0].rows.size(); ++row) {
    Sequence* sequence = find(flights_[0].rows[row]);
    if (sequence == nullptr || sequence->finish != FinishReason::none) continue;  // went while it ran
    deliver(*sequence, next.i32()[row]);
  }
  std::swap(flights_[0], flights_[1]);
  --in_flight_;
}

std::span<const Delivery> Engine::step() {
  deliveries_.clear();
  if (in_flight_ == 0) {
    const StepClass step = schedule();
    if (scheduled_.empty()) return deliveries_;
    launch(step, false);
  }
  // After an error two may still be in flight.
  if (in_flight_ == 1 && can_run_ahead()) run_ahead();
  land();
  return deliveries_;
}

}  // namespace ingot::serve
