// What fusion is worth: steps of one model as fused, as built, and with each pass switched off, in turn, so
// that other users of the machine slow all alike.
//
//   bench_fusion FOLDER [CONTEXT [THREADS [ROUNDS]]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "format/hf_folder.h"
#include "fuse/fuse.h"
#include "ingot/error.h"
#include "kv/sequence_pages.h"
#include "model/model.h"
#include "serve/stepper.h"

namespace ingot {
namespace {

using backend::StepClass;
using Clock = std::chrono::steady_clock;

constexpr int64_t kPrefillTokens = 128;
constexpr int kStepsInTurn = 8;  // of one plan, before the next has its turn
constexpr int kWarmSteps = 2;    // of those, not counted: they read what the plan before has evicted

/// One sequence of `context` tokens in a cache of its own.
class Contender {
 public:
  Contender(std::string name, const std::shared_ptr<const model::Model>& model, backend::Backend& backend,
            std::vector<std::string> off, int64_t context)
      : name_(std::move(name)),
        stepper_(model, backend, serve::Head::tokens,
                 {.sequences = 1,
                  .context = context,
                  .prefill_tokens = kPrefillTokens,
                  .cache_tokens = 0,
                  .prefill_rows = 0},
                 options(std::move(off))),
        pages_(stepper_.cache(), context) {
    pages_.grow(context);
    for (int64_t i = 0; i < context; ++i)
      tokens_.push_back(static_cast<int32_t>((i * 7919 + 13) % model->dimensions().vocab));
    for (int64_t at = 0; at + 1 < context; at += kPrefillTokens)
      step(StepClass::prefill, at, std::min(kPrefillTokens, context - 1 - at));
  }

  void take_turn() {
    for (int i = 0; i < kStepsInTurn; ++i) {
      const Clock::time_point start = Clock::now();
      step(StepClass::decode, static_cast<int64_t>(tokens_.size()) - 1, 1);
      if (i >= kWarmSteps) decode_us_.push_back(since(start));
    }
    const Clock::time_point start = Clock::now();
    step(StepClass::prefill, 0, std::min(kPrefillTokens, static_cast<int64_t>(tokens_.size()) - 1));
    prefill_us_.push_back(since(start));
  }

  const std::string& name() const { return name_; }
  size_t launches() const { return stepper_.plan(StepClass::decode).launches.size(); }
  double decode_us() const { return median(decode_us_); }
  double prefill_us() const { return median(prefill_us_); }

 private:
  static CompileOptions options(std::vector<std::string> off) {
    CompileOptions options;
    options.no_fuse = std::move(off);
    return options;
  }
  static double since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }
  static double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
  }
  void step(StepClass step, int64_t position, int64_t count) {
    serve::StepSequence part;
    part.tokens = {tokens_.data() + position, static_cast<size_t>(count)};
    part.position = position;
    part.pages = pages_.pages();
    part.logit_rows = 1;
    stepper_.run(step, {&part, 1});
  }

  std::string name_;
  serve::Stepper stepper_;
  kv::SequencePages pages_;
  std::vector<int32_t> tokens_;
  std::vector<double> decode_us_;
  std::vector<double> prefill_us_;
};

void run(const std::string& folder, int64_t context, int threads, int rounds) {
  const auto model = std::make_shared<const model::Model>(
      std::make_shared<format::HfFolder>(format::HfFolder::open(folder)));
  const auto backend = backend::make_backend("cpu", {.threads = threads});
  std::vector<std::unique_ptr<Contender>> contenders;
  const auto add = [&](std::string name, std::vector<std::string> off) {
    contenders.push_back(
        std::make_unique<Contender>(std::move(name), model, *backend, std::move(off), context));
  };
  add("fused", {});
  add("as built", {"all"});
  for (const fuse::PassInfo& pass : fuse::pass_infos())
    add(fmt::format("without {}", pass.name), {std::string(pass.name)});
  for (int round = 0; round < rounds; ++round) {
    for (const auto& contender : contenders) contender->take_turn();
  }
  fmt::print("{}, {} tokens of context, {}\n\n", folder, context, backend->limits().device);
  fmt::print("{:<32} {:>8} {:>10} {:>8} {:>12} {:>8}\n", "plan", "launches", "decode us", "x fused",
             "prefill us", "x fused");
  for (const auto& contender : contenders) {
    fmt::print("{:<32} {:>8} {:>10.1f} {:>8.3f} {:>12.0f} {:>8.3f}\n", contender->name(),
               contender->launches(), contender->decode_us(),
               contender->decode_us() / contenders[0]->decode_us(), contender->prefill_us(),
               contender->prefill_us() / contenders[0]->prefill_us());
  }
}

}  // namespace
}  // namespace ingot

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_fusion FOLDER [CONTEXT [THREADS [ROUNDS]]]\n");
    return 2;
  }
  const auto number = [&](int index, int fallback) {
    return argc > index ? std::atoi(argv[index]) : fallback;
  };
  try {
    ingot::run(argv[1], number(2, 300), number(3, 0), number(4, 60));
  } catch (const ingot::Error& error) {
    fmt::print(stderr, "bench_fusion: {}\n", error.what());
    return 2;
  }
}
