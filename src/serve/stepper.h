// Stepper: runs steps of a model: ragged tokens of several sequences in, logits or sampled tokens out.
//
// Owns the plans, their runner and the KV cache. Allocates nothing while it runs. Used by one thread at a
// time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "exec/plan_cache.h"
#include "exec/runner.h"
#include "graph/ops/sampler.h"
#include "kv/paged_cache.h"
#include "model/model.h"
#include "serve/stepper_limits.h"

namespace ingot::serve {

enum class Head : uint8_t { logits, tokens };

/// A sequence's part of a step.
struct StepSequence {
  std::span<const int32_t> tokens;  // new tokens; one in a decode step
  int64_t position = 0;             // of the first: tokens already in the cache
  std::span<const int32_t> pages;   // room for all, the new ones included
  int64_t logit_rows = 0;           // how many of its last rows the head runs on
  graph::SamplerRow sampling;       // head tokens: of its row (logit_rows <= 1)
  int32_t counts_row = -1;          // row of counts(), or -1 for none
};

class Stepper {
 public:
  /// Plans the model for these devices (exec::compile has the options and their errors). The devices'
  /// backends and costs outlive the stepper. `plans`: where plans are looked up and kept; null: nowhere.
  Stepper(std::shared_ptr<const model::Model> model, std::span<const exec::Device> devices, Head head,
          const StepperLimits& limits, const CompileOptions& options = {},
          std::span<const exec::PassedOver> missing = {}, exec::PlanCache* plans = nullptr);
  /// For one device that is not calibrated.
  Stepper(std::shared_ptr<const model::Model> model, backend::Backend& backend, Head head,
          const StepperLimits& limits, const CompileOptions& options = {});

  /// Head logits: f32 [rows, vocab]; head tokens: i32 [rows]; rows in the order of the sequences. Valid until
  /// the next run. Errors: io if a checkpoint file shrank.
  graph::Tensor run(backend::StepClass step, std::span<const StepSequence> sequences);

  /// Begins a step and returns while a device may still work on it. `feed`: every sequence's one token is
  /// what the step before, of the same sequences in the same order, gave it; the tokens here are not read.
  /// Needs can_run_ahead(). At most two steps may be unfinished.
  exec::Runner::Started start(backend::StepClass step, std::span<const StepSequence> sequences, bool feed);
  /// Waits for a step and gives what run() gives; valid until the next step but one starts.
  graph::Tensor finish(const exec::Runner::Started& started);
  /// Whether a decode step can start before the one before has ended: where one device runs all of it.
  bool can_run_ahead() const;

  kv::PagedCache& cache() { return cache_; }
  const kv::PagedCache& cache() const { return cache_; }
  const StepperLimits& limits() const { return limits_; }
  /// Sets a sequence's token counts, for penalties (graph/ops/sampler.h), to those of a prompt. Head tokens
  /// only.
  void set_counts(int64_t row, std::span<const int32_t> prompt);
  /// Counts a token that was generated.
  void count(int64_t row, int32_t token);
  const exec::Plan& plan(backend::StepClass step) const;
  /// Bytes of activations, workspace and step inputs.
  size_t runner_bytes() const { return runner_->bytes(); }
  exec::RunnerStatistics statistics() const { return runner_->statistics(); }
  /// For profiles of a step: the inputs of the one that ran last are still there.
  exec::Runner& runner() { return *runner_; }
  /// The sizes of the step that ran last.
  const graph::DimValues& last_dims() const { return last_dims_; }

 private:
  struct Inputs {
    graph::Tensor tokens, positions, slots, logit_rows, seq_start, context_len, block_table, floats, ints;
  };
  Inputs inputs_of(int frame) const;
  graph::DimValues dims_of(backend::StepClass step, std::span<const StepSequence> sequences) const;
  void write_inputs(const Inputs& inputs, std::span<const StepSequence> sequences,
                    const graph::DimValues& dims) const;
  exec::Runner::Started start_in(int frame, backend::StepClass step, std::span<const StepSequence> sequences,
                                 bool feed);
  std::span<int32_t> counts(int64_t row);

  std::shared_ptr<const model::Model> model_;
  StepperLimits limits_;
  Head head_;
  kv::PagedCache cache_;
  Array counts_;
  graph::DimValues last_dims_;
  std::unique_ptr<exec::Runner> runner_;
  bool pads_ = false;           // decode steps come in a few sizes
  std::vector<Inputs> inputs_;  // by frame
  int frame_ = 0;               // of the step that started last
};

}  // namespace ingot::serve
