#include <algorithm>
#include <chrono>
#include <map>

#include "api/llm_impl.h"
#include "base/check.h"
#include "exec/cost.h"
#include "exec/multiply_limit.h"

namespace ingot {
namespace {

using backend::StepClass;
using graph::Symbol;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMostSequences = 1024;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class F>
double seconds_of(const F& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The type that most weights have.
DType weight_type_of(const graph::Graph& graph) {
  std::map<DType, int64_t> elements;
  for (const graph::Node& node : graph.nodes()) {
    if (node.kind == graph::NodeKind::weight) elements[node.type.dtype] += node.weight.elements();
  }
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == elements.end() ? DType::f32 : most->first;
}

graph::DimValues step_dims(int64_t sequences, int64_t tokens, int64_t context, int64_t logit_rows) {
  graph::DimValues dims;
  dims[Symbol::tokens] = tokens;
  dims[Symbol::sequences] = sequences;
  dims[Symbol::pages] = kv::pages_for(context);
  dims[Symbol::logit_rows] = logit_rows;
  dims[Symbol::cache_pages] = 1;
  dims[Symbol::slots] = sequences;
  return dims;
}

/// Repetitions of one kind of step, each with the limit measured right before it.
struct Samples {
  std::vector<double> seconds;
  std::vector<double> limits;  // GFLOP/s or GB/s

  /// `work`: operations or bytes of a repetition.
  BenchPart part(int64_t tokens, double work) const {
    std::vector<double> shares;
    for (size_t i = 0; i < seconds.size(); ++i) shares.push_back(work / seconds[i] * 1e-9 / limits[i]);
    const double typical = median(seconds);
    return {.tokens = tokens,
            .seconds = typical,
            .tokens_per_second = static_cast<double>(tokens) / typical,
            .achieved = work / typical * 1e-9,
            .limit = median(limits),
            .share_of_limit = median(shares)};
  }
};

/// Sequences of one length that the benchmark feeds by hand: no tokenizer, no stop.
class Feeder {
 public:
  Feeder(serve::Stepper& stepper, int64_t sequences, int64_t tokens, int64_t vocab) : stepper_(stepper) {
    for (int64_t s = 0; s < sequences; ++s) {
      pages_.emplace_back(stepper_.cache(), tokens);
      pages_.back().grow(tokens);
    }
    // Different tokens, so that embedding rows are not all the same cache line.
    for (int64_t i = 0; i < sequences * tokens; ++i)
      tokens_.push_back(static_cast<int32_t>((i * 7919 + 13) % vocab));
  }
  /// The first `count` tokens of one sequence.
  void prefill(size_t sequence, int64_t count) {
    const int64_t chunk = stepper_.limits().prefill_tokens;
    for (int64_t from = 0; from < count; from += chunk) {
      const int64_t to = std::min(count, from + chunk);
      // As in serve::Engine, only a prompt's last chunk gives a token.
      const serve::StepSequence part = part_of(sequence, from, to, to == count);
      stepper_.run(StepClass::prefill, {&part, 1});
    }
  }
  /// Generates `count` tokens of each sequence behind `position` as serve::Engine does: a step ahead where
  /// the device can be.
  void decode(int64_t position, int64_t count) {
    const bool runs_ahead = stepper_.can_run_ahead();
    exec::Runner::Started last;
    for (int64_t t = 0; t < count; ++t) {
      parts_.clear();
      for (size_t s = 0; s < pages_.size(); ++s)
        parts_.push_back(part_of(s, position + t, position + t + 1, true));
      if (!runs_ahead) {
        stepper_.run(StepClass::decode, parts_);
        continue;
      }
      const exec::Runner::Started started = stepper_.start(StepClass::decode, parts_, t > 0);
      if (t > 0) stepper_.finish(last);
      last = started;
    }
    if (runs_ahead && count > 0) stepper_.finish(last);
  }

 private:
  serve::StepSequence part_of(size_t sequence, int64_t from, int64_t to, bool gives_token) const {
    const size_t tokens = tokens_.size() / pages_.size();
    serve::StepSequence part;
    part.tokens = {tokens_.data() + sequence * tokens + static_cast<size_t>(from),
                   static_cast<size_t>(to - from)};
    part.position = from;
    part.pages = pages_[sequence].pages();
    part.logit_rows = gives_token ? 1 : 0;
    return part;
  }

  serve::Stepper& stepper_;
  std::vector<kv::SequencePages> pages_;
  std::vector<int32_t> tokens_;  // of each sequence in turn
  std::vector<serve::StepSequence> parts_;
};

}  // namespace

BenchResult LLM::bench(const BenchOptions& options) {
  const int64_t prompt = options.prompt_tokens;
  const int64_t generate = options.generate_tokens;
  if (prompt < 1 || generate < 1 || prompt > impl_->context || generate > impl_->context - prompt) {
    fail(ErrorCode::invalid_argument,
         "bench: expected a prompt and a generation of at least 1 token, together at most the context of {}, "
         "found {} "
         "and {}",
         impl_->context, prompt, generate);
  }
  const auto check_count = [](int64_t count, int64_t most, std::string_view what) {
    if (count < 1 || count > most)
      fail(ErrorCode::invalid_argument, "bench: expected 1 to {} {}, found {}", most, what, count);
  };
  check_count(options.repetitions, 1000, "repetitions");
  check_count(options.sequences, kMostSequences, "sequences");
  const int64_t sequences = options.sequences;
  serve::StepperLimits limits = impl_->limits();
  limits.sequences = sequences;
  serve::Stepper stepper = impl_->make_stepper(serve::Head::tokens, limits);
  const exec::Plan& prefill_plan = stepper.plan(StepClass::prefill);
  const exec::Plan& decode_plan = stepper.plan(StepClass::decode);
  const DType weight = weight_type_of(*prefill_plan.graph);
  const double weight_bytes =
      exec::step_weight_bytes(decode_plan, step_dims(sequences, sequences, prompt, sequences));

  Feeder feeder(stepper, sequences, prompt + generate, impl_->info.vocab);
  // Warms the page cache and the threads. The other sequences are filled once, the first in each repetition.
  feeder.prefill(0, std::min(prompt, stepper.limits().prefill_tokens));
  for (int64_t s = 1; s < sequences; ++s) feeder.prefill(static_cast<size_t>(s), prompt);
  // Twice: a device that records steps has then recorded all of these, also the first, which is fed by the
  // host.
  for (int i = 0; i < 2; ++i) feeder.decode(prompt, std::min<int64_t>(generate, 8));
  Samples prefill;
  Samples decode;
  std::string prefill_unit;
  for (int i = 0; i < options.repetitions; ++i) {
    // Limits before each repetition: other users of a shared machine slow both alike.
    const backend::Peaks peaks = impl_->backend().measure_peaks();
    const exec::MultiplyLimit multiply = exec::multiply_limit(peaks, weight);
    prefill_unit = multiply.unit;
    prefill.limits.push_back(multiply.gflops);
    decode.limits.push_back(peaks.read_gbps);
    prefill.seconds.push_back(seconds_of([&] { feeder.prefill(0, prompt); }));
    decode.seconds.push_back(seconds_of([&] { feeder.decode(prompt, generate); }));
  }

  double flops = 0;
  for (int64_t from = 0; from < prompt; from += stepper.limits().prefill_tokens) {
    const int64_t to = std::min(prompt, from + stepper.limits().prefill_tokens);
    // Attention's cost is counted for full contexts; a prompt's rows see half of their own chunk on average.
    flops +=
        exec::step_flops(prefill_plan, step_dims(1, to - from, from + (to - from) / 2, to == prompt ? 1 : 0));
  }
  const double context = static_cast<double>(prompt) + static_cast<double>(generate) / 2;  // on average
  const double kv_bytes =
      static_cast<double>(impl_->model->kv_layout().token_bytes()) * context * static_cast<double>(sequences);

  BenchResult result;
  result.device = device();
  result.prefill_unit = prefill_unit;
  result.prefill = prefill.part(prompt, flops);
  result.decode =
      decode.part(generate * sequences, (weight_bytes + kv_bytes) * static_cast<double>(generate));
  result.sequences = sequences;
  result.step_seconds = result.decode.seconds / static_cast<double>(generate);
  result.step_weight_bytes = weight_bytes;
  result.step_kv_bytes = kv_bytes;
  return result;
}

}  // namespace ingot
