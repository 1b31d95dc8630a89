// A device that works beside the host gets the next decode step before the host has this one's tokens. What
// comes out is what the CPU gives, whoever ends, comes or goes meanwhile.
#include <gtest/gtest.h>

#include <map>

#include "exec/far_backend.h"
#include "ingot/error.h"
#include "serve/engine.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

constexpr StepperLimits kLimits{
    .sequences = 3, .context = 80, .prefill_tokens = 16, .cache_tokens = 0, .prefill_rows = 0};

class RunAhead : public testing::Test {
 protected:
  Request request(uint32_t seed, int64_t prompt, int64_t max_tokens) const {
    graph::SamplerRow sampling;
    sampling.temperature = 1;
    sampling.seed = seed;
    return {.prompt = random_tokens(seed, prompt, model_->dimensions().vocab),
            .sampling = sampling,
            .max_tokens = max_tokens,
            .eos_tokens = {}};
  }

  using Tokens = std::map<int64_t, std::vector<int32_t>>;
  static void step(Engine& engine, Tokens& tokens) {
    for (const Delivery& delivery : engine.step()) tokens[delivery.sequence].push_back(delivery.token);
  }

  std::shared_ptr<const model::Model> model_ = load_model(checkpoint("llama/llama3"));
  cpu::CpuBackend cpu_{1};
  exec::FarBackend far_{"far"};
};

TEST_F(RunAhead, TheNextStepStartsBeforeThisOnesTokensAreDelivered) {
  Engine engine(model_, far_, kLimits);
  engine.add(request(1, 5, 4));
  Tokens tokens;
  step(engine, tokens);  // the prompt
  EXPECT_EQ(engine.stepper().statistics().steps, 1U);
  step(engine, tokens);
  EXPECT_EQ(engine.stepper().statistics().steps, 3U);
  step(engine, tokens);
  EXPECT_EQ(engine.stepper().statistics().steps, 4U);
  step(engine, tokens);  // the last token: no step comes after it
  EXPECT_EQ(engine.stepper().statistics().steps, 4U);
  EXPECT_TRUE(engine.idle());
}

TEST_F(RunAhead, SequencesThatEndComeAndGoGetTheTokensOfTheCpu) {
  Engine expected(model_, cpu_, kLimits);
  Engine found(model_, far_, kLimits);
  Tokens of_cpu;
  Tokens of_far;
  const auto both = [&](const auto& act) {
    act(expected, of_cpu);
    act(found, of_far);
  };
  int64_t first = 0;
  both([&](Engine& engine, Tokens& tokens) {
    first = engine.add(request(1, 21, 50));
    engine.add(request(2, 5, 9));  // ends by its length
    for (int i = 0; i < 6; ++i) step(engine, tokens);
    Request penalised = request(3, 7, 30);
    penalised.sampling.repetition_penalty = 1.3F;
    penalised.sampling.frequency_penalty = 0.4F;
    engine.add(std::move(penalised));
    for (int i = 0; i < 12; ++i) step(engine, tokens);
    engine.remove(first);
    const int64_t taken_over = engine.add(request(4, 33, 0));  // until the context is full
    while (!engine.idle()) step(engine, tokens);
    EXPECT_EQ(tokens[taken_over].size(), static_cast<size_t>(kLimits.context - 33));
  });
  // Both were driven by as many calls; the far one may have delivered as many tokens to the sequence that was
  // removed.
  EXPECT_EQ(of_far, of_cpu);
}

TEST_F(RunAhead, AnEosTokenEndsASequenceWhoseNextStepHasStarted) {
  Tokens of_cpu;
  Engine plain(model_, cpu_, kLimits);
  const int64_t id = plain.add(request(5, 6, 20));
  while (!plain.idle()) step(plain, of_cpu);
  const int32_t eos = of_cpu[id][7];
  Request request_with_eos = request(5, 6, 20);
  request_with_eos.eos_tokens = {eos};
  Engine engine(model_, far_, kLimits);
  const int64_t far_id = engine.add(std::move(request_with_eos));
  Tokens of_far;
  while (!engine.idle()) step(engine, of_far);
  const auto end = std::find(of_cpu[id].begin(), of_cpu[id].end(), eos) + 1;
  EXPECT_EQ(of_far[far_id], std::vector<int32_t>(of_cpu[id].begin(), end));
  // The slot and the pages are free for another, the step that nobody waits for notwithstanding.
  engine.remove(far_id);
  const int64_t next = engine.add(request(1, 5, 4));
  while (!engine.idle()) step(engine, of_far);
  EXPECT_EQ(of_far[next].size(), 4U);
}

TEST_F(RunAhead, ACacheThatIsFullSaysSoAtTheSameTokenAsOnTheCpu) {
  StepperLimits limits = kLimits;
  limits.cache_tokens = 64;
  const auto tokens_until_full = [&](backend::Backend& backend) {
    Engine engine(model_, backend, limits);
    engine.add(request(1, 30, 0));
    engine.add(request(2, 30, 0));
    Tokens tokens;
    try {
      while (!engine.idle()) step(engine, tokens);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    }
    return tokens;
  };
  EXPECT_EQ(tokens_until_full(far_), tokens_until_full(cpu_));
}

TEST_F(RunAhead, StepsAfterAnErrorStartNothingMoreThanWhatIsInFlight) {
  Engine expected(model_, cpu_, kLimits);
  Engine engine(model_, far_, kLimits);
  Tokens of_cpu;
  Tokens of_far;
  expected.add(request(1, 5, 12));
  engine.add(request(1, 5, 12));
  step(engine, of_far);  // the prompt
  step(engine, of_far);
  far_.waits_fail = true;
  const uint64_t started = engine.stepper().statistics().steps;
  for (int i = 0; i < 3; ++i) EXPECT_THROW(step(engine, of_far), Error);
  EXPECT_LE(engine.stepper().statistics().steps, started + 1);
  far_.waits_fail = false;
  while (!engine.idle()) step(engine, of_far);
  while (!expected.idle()) step(expected, of_cpu);
  EXPECT_EQ(of_far, of_cpu);
}

}  // namespace
}  // namespace ingot::serve
