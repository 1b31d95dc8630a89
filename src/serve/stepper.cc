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
  exec::RunnerOptions runner_options{.states_are_zero = true, .feed_output = {}, .feed_input = {}};
  if (head == Head::tokens) {
    runner_options.feed_output = "next";
    runner_options.feed_input = "tokens";
  }
  runner_ = std::make_unique<exec::Runner>(devices, std::move(plans), std::move(states), runner_options);
  for (int frame = 0; frame < runner_->frames(); ++frame) inputs_.push_back(inputs_of(frame));
  pads_ = std::any_of(devices.begin(), devices.end(),
                      [](const exec::Device& device) { return device.backend->limits().records_slices; });
}

Stepper::Inputs Stepper::inputs_of(int frame) const {
  Inputs inputs{.tokens = runner_->input("tokens", frame),
                .positions = runner_->input("positions", frame),
                .slots = runner_->input("slots", frame),
                .logit_rows = runner_->input("logit_rows", frame),
                .seq_start = runner_->input("seq_start", frame),
                .context_len = runner_->input("context_len", frame),
                .block_table = runner_->input("block_table", frame),
                .floats = {},
                .ints = {}};
  if (head_ == Head::tokens) {
    inputs.floats = runner_->input("sampling_f32", frame);
    inputs.ints = runner_->input("sampling_i32", frame);
  }
  return inputs;
}

std::span<int32_t> Stepper::counts(int64_t row) {
  INGOT_CHECK(row >= 0 && row < limits_.sequences && head_ == Head::tokens, "token counts of row {}", row);
  const auto vocab = static_cast<size_t>(model_->dimensions().vocab);
  return {counts_.mutable_data<int32_t>() + static_cast<size_t>(row) * vocab, vocab};
}

void Stepper::set_counts(int64_t row, std::span<const int32_t> prompt) {
  const auto all = counts(row);
  std::fill(all.begin(), all.end(), 0);
  for (int32_t token : prompt) all[static_cast<size_t>(token)] = -1;  // in the prompt only
  runner_->write_state("token_counts", static_cast<size_t>(row) * all.size_bytes(), all.data(),
                       all.size_bytes());
}

void Stepper::count(int64_t row, int32_t token) {
  const auto all = counts(row);
  int32_t& count = all[static_cast<size_t>(token)];
  count = std::max(count, 0) + 1;
  const auto at = static_cast<size_t>(row) * all.size_bytes() + static_cast<size_t>(token) * sizeof(int32_t);
  runner_->write_state("token_counts", at, &count, sizeof(int32_t));
}

const exec::Plan& Stepper::plan(StepClass step) const {
  return runner_->plan(step == StepClass::prefill ? 0 : 1);
}

namespace {

/// The next of a few numbers that are close enough together to waste little.
int64_t padded_rows(int64_t rows) {
  int64_t step = 1;
  while (step * 8 < rows) step *= 2;
  return rows <= 4 ? (rows <= 2 ? rows : 4) : (rows + step - 1) / step * step;
}

int64_t padded_pages(int64_t pages) {
  int64_t padded = 4;
  while (padded < pages) padded *= 2;
  return padded;
}

}  // namespace

/// The sizes of a step. Where slices are recorded, decode steps are padded to one of few sizes: a row's bits
/// depend on no other row and not on the padding.
DimValues Stepper::dims_of(StepClass step, std::span<const StepSequence> sequences) const {
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
  const DimValues& most = plan(step).bucket;
  INGOT_CHECK(dims[Symbol::sequences] <= most[Symbol::sequences] &&
                  dims[Symbol::tokens] <= most[Symbol::tokens] &&
                  dims[Symbol::logit_rows] <= most[Symbol::logit_rows],
              "a {} step of {} sequences, {} tokens, {} rows", to_string(step), sequences.size(),
              dims[Symbol::tokens], dims[Symbol::logit_rows]);
  if (!pads_ || step != StepClass::decode) return dims;
  dims[Symbol::pages] = std::min(padded_pages(dims[Symbol::pages]), most[Symbol::pages]);
  const int64_t rows = dims[Symbol::sequences];
  if (dims[Symbol::tokens] != rows || dims[Symbol::logit_rows] != rows) return dims;
  const int64_t padded = std::min(padded_rows(rows), most[Symbol::sequences]);
  for (const Symbol symbol : {Symbol::sequences, Symbol::tokens, Symbol::logit_rows}) dims[symbol] = padded;
  return dims;
}

void Stepper::write_inputs(const Inputs& inputs, std::span<const StepSequence> sequences,
                           const DimValues& dims) const {
  const int64_t pages = dims[Symbol::pages];
  const auto vocab = static_cast<int32_t>(model_->dimensions().vocab);
  int32_t token_row = 0;
  int32_t logit_row = 0;
  int64_t s = 0;
  inputs.seq_start.as<int32_t>()[0] = 0;
  const auto add_row = [&](int32_t token, int64_t position, int32_t page) {
    inputs.tokens.as<int32_t>()[token_row] = token;
    inputs.positions.as<int32_t>()[token_row] = static_cast<int32_t>(position);
    inputs.slots.as<int32_t>()[token_row] =
        page * static_cast<int32_t>(kv::kPageTokens) + static_cast<int32_t>(position % kv::kPageTokens);
    ++token_row;
  };
  const auto end_sequence = [&](std::span<const int32_t> used, int64_t context) {
    inputs.seq_start.as<int32_t>()[s + 1] = token_row;
    inputs.context_len.as<int32_t>()[s] = static_cast<int32_t>(context);
    auto* table = inputs.block_table.as<int32_t>() + s * pages;
    std::copy(used.begin(), used.end(), table);
    std::fill(table + used.size(), table + pages, 0);
    ++s;
  };
  const auto add_logits = [&](int32_t row, const graph::SamplerRow& sampling, int32_t counts_row) {
    inputs.logit_rows.as<int32_t>()[logit_row] = row;
    if (head_ == Head::tokens)
      graph::set_sampler_row(inputs.floats, inputs.ints, logit_row, sampling, counts_row);
    ++logit_row;
  };
  for (const StepSequence& sequence : sequences) {
    int64_t position = sequence.position;
    for (int32_t token : sequence.tokens) {
      INGOT_CHECK(token >= 0 && token < vocab, "token {} of a vocabulary of {}", token, vocab);
      add_row(token, position, sequence.pages[static_cast<size_t>(position / kv::kPageTokens)]);
      ++position;
    }
    end_sequence(sequence.pages.first(static_cast<size_t>(kv::pages_for(position))), position);
    for (int64_t r = sequence.logit_rows; r > 0; --r)
      add_logits(token_row - static_cast<int32_t>(r), sequence.sampling, sequence.counts_row);
  }
  // Rows of padding are sequences of one token in page 0, which belongs to nobody.
  while (s < dims[Symbol::sequences]) {
    add_row(0, 0, 0);
    end_sequence({}, 1);
    add_logits(token_row - 1, {}, -1);
  }
}

exec::Runner::Started Stepper::start_in(int frame, StepClass step, std::span<const StepSequence> sequences,
                                        bool feed) {
  model_->checkpoint().check_unchanged();
  last_dims_ = dims_of(step, sequences);
  write_inputs(inputs_[static_cast<size_t>(frame)], sequences, last_dims_);
  return runner_->start(step == StepClass::prefill ? 0 : 1, last_dims_, frame, feed);
}

Tensor Stepper::run(StepClass step, std::span<const StepSequence> sequences) {
  frame_ = 0;
  return finish(start_in(0, step, sequences, false));
}

exec::Runner::Started Stepper::start(StepClass step, std::span<const StepSequence> sequences, bool feed) {
  const int next = (frame_ + 1) % runner_->frames();
  const exec::Runner::Started started = start_in(next, step, sequences, feed);
  frame_ = next;  // not after an error: the step before may still read its own
  return started;
}

Tensor Stepper::finish(const exec::Runner::Started& started) {
  runner_->finish(started);
  return runner_->output(started.plan, head_ == Head::logits ? "logits" : "next", started.frame);
}

bool Stepper::can_run_ahead() const {
  return runner_->frames() > 1 && runner_->can_feed(1);
}

}  // namespace ingot::serve
