// Engine: generates for several sequences at once. Its step is: schedule, run, sample, deliver.
//
// Where one device runs all of a decode step, the engine is a step ahead: it starts the next step, whose
// tokens the device has, before it waits for this one's. What that gives to a sequence that has ended
// meanwhile is dropped.
//
// Used by one thread at a time. A step allocates nothing on the heap; adding a sequence does.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/sequence_pages.h"
#include "serve/stepper.h"

namespace ingot::serve {

enum class FinishReason : uint8_t {
  none,     // goes on
  eos,      // a token that ends the text
  length,   // the request's max_tokens
  context,  // the context is full
};

struct Request {
  std::vector<int32_t> prompt;
  graph::SamplerRow sampling;       // its position is set by the engine
  int64_t max_tokens = 0;           // to generate at most; 0: until the context is full
  std::vector<int32_t> eos_tokens;  // empty: generate on
};

/// A token that a step gave a sequence.
struct Delivery {
  int64_t sequence = 0;
  int32_t token = 0;
  FinishReason finish = FinishReason::none;
};

class Engine {
 public:
  /// The arguments of a Stepper.
  Engine(std::shared_ptr<const model::Model> model, std::span<const exec::Device> devices,
         const StepperLimits& limits, const CompileOptions& options = {},
         std::span<const exec::PassedOver> missing = {}, exec::PlanCache* plans = nullptr);
  Engine(std::shared_ptr<const model::Model> model, backend::Backend& backend, const StepperLimits& limits);

  /// Takes a sequence in and returns its number. Errors: invalid_argument for an empty prompt, one that
  /// leaves no room to generate (both lengths named), or a token outside the vocabulary; out_of_memory when
  /// `sequences` of the limits are running.
  int64_t add(Request request);
  /// Drops a sequence, finished or not, and frees its pages.
  void remove(int64_t sequence);

  /// Runs one step: a prefill step if prompts wait, else one token for each running sequence. The deliveries
  /// are valid until the next call; empty when a prompt needs more steps, or when nothing runs (see idle()).
  std::span<const Delivery> step();
  bool idle() const;
  /// Whether a prompt waits: once what is in flight has landed, the next step is a prefill step.
  bool prefill_waits() const;

  Stepper& stepper() { return stepper_; }
  const Stepper& stepper() const { return stepper_; }

 private:
  void reserve();

  struct Sequence {
    int64_t id = 0;
    Request request;
    std::vector<int32_t> tokens;  // prompt and generated
    int64_t prompt_tokens = 0;
    int64_t cached = 0;  // tokens whose keys and values are in the cache
    int32_t slot = 0;    // row of the token counts
    FinishReason finish = FinishReason::none;
    kv::SequencePages pages;
    bool prefilled() const { return cached >= prompt_tokens; }
  };

  /// A step that was started: whose token each row is.
  struct Flight {
    exec::Runner::Started started;
    std::vector<int64_t> rows;  // sequence of each row of "next"
  };

  backend::StepClass schedule();
  void add_part(Sequence& sequence, std::span<const int32_t> tokens);
  void launch(backend::StepClass step, bool feed);
  bool can_run_ahead() const;
  void run_ahead();
  void land();
  Sequence* find(int64_t id) const;
  void deliver(Sequence& sequence, int32_t token);

  std::shared_ptr<const model::Model> model_;
  Stepper stepper_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::vector<bool> slots_;           // in use
  std::vector<Sequence*> scheduled_;  // of this step
  std::vector<StepSequence> step_;
  std::vector<Delivery> deliveries_;
  Flight flights_[2];  // by age: the first was started first
  int in_flight_ = 0;
  int64_t next_id_ = 1;
};

}  // namespace ingot::serve
