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

graph::DimValues step_dims(int64_t tokens, int64_t context, int64_t logit_rows) {
  graph::DimValues dims;
  dims[Symbol::tokens] = tokens;
  dims[Symbol::sequences] = 1;
  dims[Symbol::pages] = kv::pages_for(context);
  dims[Symbol::logit_rows] = logit_rows;
  dims[Symbol::cache_pages] = 1;
  dims[Symbol::slots] = 1;
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

/// A sequence that the benchmark feeds by hand: no tokenizer, no stop.
class Feeder {
 public:
  Feeder(serve::Stepper& stepper, int64_t tokens, int64_t vocab)
      : stepper_(stepper), pages_(stepper.cache(), tokens) {
    pages_.grow(tokens);
    // Different tokens, so that embedding rows are not all the same cache line.
    for (int64_t i = 0; i < tokens; ++i) tokens_.push_back(static_cast<int32_t>((i * 7919 + 13) % vocab));
  }
  void prefill(int64_t count) {
    const int64_t chunk = stepper_.limits().prefill_tokens;
    for (int64_t from = 0; from < count; from += chunk) {
      const int64_t to = std::min(count, from + chunk);
      // As in serve::Engine, only a prompt's last chunk gives a token.
      const serve::StepSequence part = part_of(from, to, to == count);
      stepper_.run(StepClass::prefill, {&part, 1});
    }
  }
  /// Generates `count` tokens behind `position` as serve::Engine does: a step ahead where the device can be.
  void decode(int64_t position, int64_t count) {
    const bool runs_ahead = stepper_.can_run_ahead();
    exec::Runner::Started last;
    for (int64_t t = 0; t < count; ++t) {
      const serve::StepSequence part = part_of(position + t, position + t + 1, true);
      if (!runs_ahead) {
        stepper_.run(StepClass::decode, {&part, 1});
        continue;
      }
      const exec::Runner::Started started = stepper_.start(StepClass::decode, {&part, 1}, t > 0);
      if (t > 0) stepper_.finish(last);
      last = started;
    }
    if (runs_ahead && count > 0) stepper_.finish(last);
  }

 private:
  serve::StepSequence part_of(int64_t from, int64_t to, bool gives_token) const {
    serve::StepSequence part;
    part.tokens = {tokens_.data() + from, static_cast<size_t>(to - from)};
    part.position = from;
    part.pages = pages_.pages();
    part.logit_rows = gives_token ? 1 : 0;
    return part;
  }

  serve::Stepper& stepper_;
  kv::SequencePages pages_;
  std::vector<int32_t> tokens_;
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
  if (options.repetitions < 1 || options.repetitions > 1000) {
    fail(ErrorCode::invalid_argument, "bench: expected 1 to 1000 repetitions, found {}", options.repetitions);
  }
  serve::Stepper stepper = impl_->make_stepper(serve::Head::tokens, impl_->limits());
  const exec::Plan& prefill_plan = stepper.plan(StepClass::prefill);
  const exec::Plan& decode_plan = stepper.plan(StepClass::decode);
  const DType weight = weight_type_of(*prefill_plan.graph);
  const double weight_bytes = exec::step_weight_bytes(decode_plan, step_dims(1, prompt, 1));

  Feeder feeder(stepper, prompt + generate, impl_->info.vocab);
  feeder.prefill(std::min(prompt, stepper.limits().prefill_tokens));  // warms the page cache and the threads
  feeder.decode(prompt,
                std::min<int64_t>(generate, 8));  // a device that records steps has recorded these now
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
    prefill.seconds.push_back(seconds_of([&] { feeder.prefill(prompt); }));
    decode.seconds.push_back(seconds_of([&] { feeder.decode(prompt, generate); }));
  }

  double flops = 0;
  for (int64_t from = 0; from < prompt; from += stepper.limits().prefill_tokens) {
    const int64_t to = std::min(prompt, from + stepper.limits().prefill_tokens);
    // Attention's cost is counted for full contexts; a prompt's rows see half of their own chunk on average.
    flops +=
        exec::step_flops(prefill_plan, step_dims(to - from, from + (to - from) / 2, to == prompt ? 1 : 0));
  }
  const double kv_bytes = static_cast<double>(impl_->model->kv_layout().token_bytes()) *
                          (static_cast<double>(prompt) + static_cast<double>(generate) / 2);

  BenchResult result;
  result.device = device();
  result.prefill_unit = prefill_unit;
  result.prefill = prefill.part(prompt, flops);
  result.decode = decode.part(generate, (weight_bytes + kv_bytes) * static_cast<double>(generate));
  return result;
}

}  // namespace ingot
