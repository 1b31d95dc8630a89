// The determinism contract on the CPU, with any number of threads. Devices: tests/gpu/determinism.cc.
#include "serve/determinism_checks.h"

namespace ingot::serve {
namespace {

class Determinism : public testing::TestWithParam<std::string> {
 protected:
  std::vector<float> logits(int threads, const StepperLimits& limits,
                            const std::vector<GivenSequence>& sequences) const {
    return world_.logits(*backend::make_backend("cpu", {.threads = threads}), limits, sequences);
  }

  const DeterminismWorld world_{GetParam()};
};

TEST_P(Determinism, LogitsHaveTheSameBitsHoweverARequestIsRun) {
  const DeterminismWorld& w = world_;
  const std::vector<float> alone = logits(1, w.limits(1, w.tokens), {w.first});
  ASSERT_EQ(static_cast<int64_t>(alone.size()), w.tokens * w.vocab());
  for (int threads : {1, 2, 3, 8}) {
    EXPECT_TRUE(same_bits(logits(threads, w.limits(1, w.tokens), {w.first}), alone)) << threads << " threads";
    EXPECT_TRUE(same_bits(logits(threads, w.limits(17, 61), w.company(17)), alone))
        << threads << " threads, 17 sequences";
  }
  EXPECT_TRUE(same_bits(logits(2, w.limits(2, w.tokens), w.company(2)), alone)) << "2 sequences";
  for (int64_t chunk : {1, 5, 13, 32, 33}) {
    GivenSequence cut = w.first;
    cut.chunk = chunk;
    EXPECT_TRUE(same_bits(logits(2, w.limits(1, w.tokens), {cut}), alone)) << "chunks of " << chunk;
    std::vector<GivenSequence> mixed = w.company(17);
    mixed[0].chunk = chunk;
    EXPECT_TRUE(same_bits(logits(2, w.limits(17, 40), mixed), alone)) << "17 sequences, chunks of " << chunk;
  }
}

TEST_P(Determinism, ASecondRunOnUsedPagesHasTheSameBits) {
  const auto backend = backend::make_backend("cpu", {.threads = 2});
  Stepper stepper(world_.model, *backend, Head::logits, world_.limits(17, world_.tokens));
  const std::vector<float> before = logits_of_first(stepper, {world_.first});
  logits_of_first(stepper, world_.company(17));  // leaves its keys and values in the pages
  EXPECT_TRUE(same_bits(logits_of_first(stepper, {world_.first}), before));
}

TEST_P(Determinism, SampledTokensAreTheSameAloneAndInCompany) {
  const auto tokens_with = [&](int threads, int64_t prefill_tokens, const std::vector<uint64_t>& seeds) {
    return world_.sampled(*backend::make_backend("cpu", {.threads = threads}), prefill_tokens, seeds);
  };
  std::vector<uint64_t> all;
  for (uint64_t seed = 1; seed <= 17; ++seed) all.push_back(seed);
  const auto together = tokens_with(2, 64, all);
  EXPECT_EQ(tokens_with(8, 7, all), together);
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(tokens_with(3, 64, all), together);
  for (uint64_t seed : {1U, 9U, 17U})
    EXPECT_EQ(tokens_with(1, 32, {seed}).at(seed), together.at(seed)) << seed;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Determinism, testing::ValuesIn(checkpoints()), checkpoint_word);

}  // namespace
}  // namespace ingot::serve
