// One step of a model, run again and again: what explain and tune measure.
#pragma once

#include <chrono>
#include <cstring>
#include <span>
#include <vector>

#include "api/llm_impl.h"
#include "serve/stepper.h"

namespace ingot::api {

/// Tokens that the last `tokens` positions of each sequence's context hold.
struct StepShape {
  backend::StepClass step = backend::StepClass::decode;
  int64_t sequences = 1;
  int64_t tokens = 1;   // of each sequence
  int64_t context = 1;  // of each sequence, these tokens included
};

/// Feeds one step again and again: a position is written with the same keys each time.
class RepeatedStep {
 public:
  /// `stepper` outlives it. `works_in_host_memory`: whether a device does, so that the cache lies there.
  RepeatedStep(serve::Stepper& stepper, const StepShape& shape, int64_t vocab, bool works_in_host_memory)
      : shape_(shape), stepper_(stepper) {
    for (int64_t s = 0; s < shape.sequences; ++s) {
      pages_.emplace_back(stepper_.cache(), shape.context);
      pages_.back().grow(shape.context);
      // Different tokens, so that embedding rows are not all the same cache line.
      for (int64_t i = 0; i < shape.tokens; ++i)
        tokens_.push_back(static_cast<int32_t>(((s * shape.tokens + i) * 7919 + 13) % vocab));
    }
    if (works_in_host_memory) fill_cache();
    for (size_t s = 0; s < pages_.size(); ++s) {
      const auto count = static_cast<size_t>(shape.tokens);
      serve::StepSequence part;
      part.tokens = {tokens_.data() + s * count, count};
      part.position = shape.context - shape.tokens;
      part.pages = pages_[s].pages();
      part.logit_rows = 1;
      parts_.push_back(part);
    }
  }

  const exec::Plan& plan() const { return stepper_.plan(shape_.step); }
  void run() { stepper_.run(shape_.step, parts_); }
  double timed_us() {
    const auto start = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  }
  /// Each launch and transfer alone.
  void profile(std::span<double> launch_us, std::span<double> transfer_us) {
    // The inputs of the step that ran last are still there.
    stepper_.runner().profile(number(), stepper_.last_dims(), launch_us, transfer_us);
  }
  std::vector<exec::Runner::Tuned> tune() { return stepper_.runner().tune(number(), stepper_.last_dims()); }
  graph::DimValues dims() const {
    graph::DimValues dims;
    dims[graph::Symbol::tokens] = shape_.sequences * shape_.tokens;
    dims[graph::Symbol::sequences] = shape_.sequences;
    dims[graph::Symbol::pages] = kv::pages_for(shape_.context);
    dims[graph::Symbol::logit_rows] = shape_.sequences;
    dims[graph::Symbol::cache_pages] = plan().bucket[graph::Symbol::cache_pages];
    dims[graph::Symbol::slots] = plan().bucket[graph::Symbol::slots];
    return dims;
  }

 private:
  size_t number() const { return shape_.step == backend::StepClass::prefill ? 0 : 1; }  // of the plan

  /// Pages that nobody wrote all are the same page of zeros, which reads faster than a cache in use.
  void fill_cache() {
    for (const auto& [name, array] : stepper_.cache().states()) {
      Array cache = array;
      const size_t page_bytes = cache.bytes() / static_cast<size_t>(stepper_.cache().total_pages());
      auto* bytes = static_cast<std::byte*>(cache.mutable_raw());
      for (const kv::SequencePages& sequence : pages_) {
        for (int32_t page : sequence.pages())
          std::memset(bytes + static_cast<size_t>(page) * page_bytes, 0x3c, page_bytes);  // as f32: 0.0115
      }
    }
  }

  StepShape shape_;
  serve::Stepper& stepper_;
  std::vector<kv::SequencePages> pages_;
  std::vector<int32_t> tokens_;
  std::vector<serve::StepSequence> parts_;
};

}  // namespace ingot::api
