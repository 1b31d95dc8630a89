#include "serve/stepper.h"

#include <algorithm>

#include "base/check.h"
#include "graph/ops/sample.h"

namespace ingot::serve {

using backend::StepClass;
using graph::DimValues;
using graph::Symbol;
using graph::Tensor;

Stepper::Stepper(std::shared_ptr<const model::Model> model, backend::Backend& backend, Head head,
                 const StepperLimits& limits, const CompileOptions& options)
    : Stepper(std::move(model),
              std::vector<exec::Device>{{.backend = &backend, .name = std::string(backend.name())}}, head,
              limits, options) {}

Stepper::Stepper(std::shared_ptr<const model::Model> model, std::span<const exec::Device> devices, Head head,
                 const StepperLimits& limits, const CompileOptions& options,
                 std::span<const exec::PassedOver> missing, exec::PlanCache* cache)
    : model_(std::move(model)),
      limits_(complete(limits)),
      head_(head),
      cache_(model_->kv_layout(), cache_pages(limits_)) {
  const auto& graph = head == Head::logits ? model_->logits_graph() : model_->token_graph();
  std::vector<std::shared_ptr<const exec::Plan>> plans;
  for (const StepClass step : {StepClass::prefill, StepClass::decode}) {
    const DimValues bucket = step_bucket(limits_, step);
    plans.push_back(cache != nullptr ? cache->get(graph, bucket, step, devices, options, missing)
                                     : exec::compile(graph, bucket, step, devices, options, missing));
  }
  auto states = cache_.states();
  if (head == Head::tokens) {
    counts_ = Array::zeros(DType::i32, {limits_.sequences, model_->dimensions().vocab});
    states.emplace("token_counts", counts_);
  }
  runner_ = std::make_unique<exec::Runner>(devices, std::move(plans), std::move(states));
  inputs_ = {.tokens = runner_->input("tokens"),
             .positions = runner_->input("positions"),
             .slots = runner_->input("slots"),
             .logit_rows = runner_->input("logit_rows"),
             .seq_start = runner_->input("seq_start"),
             .context_len = runner_->input("context_len"),
             .block_table = runner_->input("block_table"),
             .floats = {},
             .ints = {}};
  if (head == Head::tokens) {
    inputs_.floats = runner_->input("sampling_f32");
    inputs_.ints = runner_->input("sampling_i32");
  }
}

std::span<int32_t> Stepper::counts(int64_t row) {
  INGOT_CHECK(row >= 0 && row < limits_.sequences && head_ == Head::tokens, "token counts of row {}", row);
  const auto vocab = static_cast<size_t>(model_->dimensions().vocab);
  return {counts_.mutable_data<int32_t>() + static_cast<size_t>(row) * vocab, vocab};
}

const exec::Plan& Stepper::plan(StepClass step) const {
  return runner_->plan(step == StepClass::prefill ? 0 : 1);
}

DimValues Stepper::write_inputs(std::span<const StepSequence> sequences) {
  DimValues dims;
  dims[Symbol::cache_pages] = cache_.total_pages();
  dims[Symbol::slots] = limits_.sequences;
  dims[Symbol::sequences] = static_cast<int64_t>(sequences.size());
  for (const StepSequence& sequence : sequences) {
    const int64_t end = sequence.position + static_cast<int64_t>(sequence.tokens.size());
    INGOT_CHECK(end <= limits_.context, "a sequence of {} tokens in a context of {}", end, limits_.context);
    dims[Symbol::tokens] += static_cast<int64_t>(sequence.tokens.size());
    dims[Symbol::logit_rows] += sequence.logit_rows;
    dims[Symbol::pages] = std::max(dims[Symbol::pages], kv::pages_for(end));
  }
  const int64_t pages = dims[Symbol::pages];
  const auto vocab = static_cast<int32_t>(model_->dimensions().vocab);
  int32_t token_row = 0;
  int32_t logit_row = 0;
  int64_t s = 0;
  inputs_.seq_start.as<int32_t>()[0] = 0;
  for (const StepSequence& sequence : sequences) {
    int64_t position = sequence.position;
    for (int32_t token : sequence.tokens) {
      INGOT_CHECK(token >= 0 && token < vocab, "token {} of a vocabulary of {}", token, vocab);
      const int32_t page = sequence.pages[static_cast<size_t>(position / kv::kPageTokens)];
      inputs_.tokens.as<int32_t>()[token_row] = token;
      inputs_.positions.as<int32_t>()[token_row] = static_cast<int32_t>(position);
      inputs_.slots.as<int32_t>()[token_row] =
          page * static_cast<int32_t>(kv::kPageTokens) + static_cast<int32_t>(position % kv::kPageTokens);
      ++token_row;
      ++position;
    }
    inputs_.seq_start.as<int32_t>()[s + 1] = token_row;
    inputs_.context_len.as<int32_t>()[s] = static_cast<int32_t>(position);
    auto* table = inputs_.block_table.as<int32_t>() + s * pages;
    const auto used = static_cast<size_t>(kv::pages_for(position));
    std::copy_n(sequence.pages.begin(), used, table);
    std::fill(table + used, table + pages, 0);
    for (int64_t r = sequence.logit_rows; r > 0; --r) {
      inputs_.logit_rows.as<int32_t>()[logit_row] = token_row - static_cast<int32_t>(r);
      if (head_ == Head::tokens) {
        graph::set_sampler_row(inputs_.floats, inputs_.ints, logit_row, sequence.sampling,
                               sequence.counts_row);
      }
      ++logit_row;
    }
    ++s;
  }
  return dims;
}

Tensor Stepper::run(StepClass step, std::span<const StepSequence> sequences) {
  model_->checkpoint().check_unchanged();
  int64_t tokens = 0;
  int64_t rows = 0;
  for (const StepSequence& sequence : sequences) {
    tokens += static_cast<int64_t>(sequence.tokens.size());
    rows += sequence.logit_rows;
  }
  const DimValues& most = plan(step).bucket;
  INGOT_CHECK(static_cast<int64_t>(sequences.size()) <= limits_.sequences && tokens <= most[Symbol::tokens] &&
                  rows <= most[Symbol::logit_rows],
              "a {} step of {} sequences, {} tokens, {} rows", to_string(step), sequences.size(), tokens,
              rows);
  const size_t plan_index = step == StepClass::prefill ? 0 : 1;
  last_dims_ = write_inputs(sequences);
  runner_->run(plan_index, last_dims_);
  return runner_->output(plan_index, head_ == Head::logits ? "logits" : "next");
}

}  // namespace ingot::serve
