// What an LLM holds; shared by the files that implement its methods.
#pragma once

#include <memory>

#include "api/devices.h"
#include "api/memory_plan.h"
#include "format/generation_config.h"
#include "ingot/error.h"
#include "ingot/llm.h"
#include "model/model.h"
#include "serve/engine.h"
#include "text/tokenizer.h"

namespace ingot {

struct LLM::Impl {
  LoadOptions options;  // as given
  api::Devices devices;
  std::shared_ptr<const model::Model> model;
  std::unique_ptr<text::Tokenizer> tokenizer;  // null: the checkpoint brings none
  format::GenerationConfig defaults;
  ModelInfo info;
  std::vector<std::string> notes;
  int64_t context = 0;
  int64_t program_bytes = 0;  // resident before any weight was read
  exec::PlanCache plans;
  std::unique_ptr<serve::Engine> engine;  // made by the first use

  /// The tokenizer. Errors: unsupported where there is none.
  const text::Tokenizer& text() const;
  /// The device that computes.
  backend::Backend& backend() const { return *devices.backends.front(); }
  serve::Engine& get_engine();
  /// Steps outside the engine, on the same devices.
  serve::Stepper make_stepper(serve::Head head, const serve::StepperLimits& limits);
  /// What `make` makes. Where the first device has less memory than it said when it was opened, and another
  /// can take layers over, it is planned again with less of that, which notes() says; with strict, or alone,
  /// it is an error.
  template <class Make>
  auto within_memory(const Make& make) {
    constexpr int kMostTries = 12;  // down to 3 % of what the device said
    for (int tries = 0;; ++tries) {
      try {
        return make();
      } catch (const Error& error) {
        if (error.code() != ErrorCode::out_of_memory || tries == kMostTries ||
            !take_less_memory(error.what()))
          throw;
      }
    }
  }
  bool take_less_memory(std::string_view why);
  serve::StepperLimits limits() const { return api::stepper_limits(devices, context, options.sequences); }
};

}  // namespace ingot
