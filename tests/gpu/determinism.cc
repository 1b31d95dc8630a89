// The determinism contract on the GPU: a request's logits and tokens are bit-identical alone and beside 1 to
// 63 others, repeated, and however prompts are cut.
#include "gpu/gpu_test.h"
#include "ops/attention_checks.h"
#include "serve/determinism_checks.h"

namespace ingot::serve {
namespace {

class GpuDeterminism : public OnGpu<testing::TestWithParam<std::string>> {
 protected:
  const DeterminismWorld world_{GetParam()};
};

TEST_P(GpuDeterminism, LogitsHaveTheSameBitsHoweverARequestIsRun) {
  const DeterminismWorld& w = world_;
  const std::vector<float> alone = w.logits(gpu(), w.limits(1, w.tokens), {w.first});
  ASSERT_EQ(static_cast<int64_t>(alone.size()), w.tokens * w.vocab());
  EXPECT_TRUE(same_bits(w.logits(gpu(), w.limits(1, w.tokens), {w.first}), alone)) << "again";
  for (int64_t others : {1, 2, 7, 17, 63}) {
    EXPECT_TRUE(same_bits(w.logits(gpu(), w.limits(1 + others, 97), w.company(1 + others)), alone))
        << "beside " << others << " others";
  }
  for (int64_t chunk : {1, 5, 13, 32, 33}) {
    GivenSequence cut = w.first;
    cut.chunk = chunk;
    EXPECT_TRUE(same_bits(w.logits(gpu(), w.limits(1, w.tokens), {cut}), alone)) << "chunks of " << chunk;
    std::vector<GivenSequence> mixed = w.company(18);
    mixed[0].chunk = chunk;
    EXPECT_TRUE(same_bits(w.logits(gpu(), w.limits(18, 40), mixed), alone))
        << "18 sequences, chunks of " << chunk;
  }
}

TEST_P(GpuDeterminism, ASecondRunOnUsedPagesHasTheSameBits) {
  Stepper stepper(world_.model, gpu(), Head::logits, world_.limits(18, world_.tokens));
  const std::vector<float> before = logits_of_first(stepper, {world_.first});
  logits_of_first(stepper, world_.company(18));  // leaves its keys and values in the pages
  EXPECT_TRUE(same_bits(logits_of_first(stepper, {world_.first}), before));
}

TEST_P(GpuDeterminism, SampledTokensAreTheSameAloneAndInCompany) {
  std::vector<uint64_t> all;
  for (uint64_t seed = 1; seed <= 64; ++seed) all.push_back(seed);
  const auto together = world_.sampled(gpu(), 64, all);
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(world_.sampled(gpu(), 7, all), together);
  for (uint64_t seed : {1U, 17U, 64U})
    EXPECT_EQ(world_.sampled(gpu(), 32, {seed}).at(seed), together.at(seed)) << seed;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GpuDeterminism, testing::ValuesIn(checkpoints()), checkpoint_word);

class GpuAttention : public OnGpu<testing::TestWithParam<std::tuple<backend::StepClass, int64_t>>> {
 protected:
  static constexpr WorldShape kShapes[] = {
      {}, {.heads = 8, .kv_heads = 2, .head_dim = 128}, {4, 4, 64}, {14, 2, 64}, {8, 1, 80}};
};

TEST_P(GpuAttention, ASequenceHasTheSameBitsAloneAndInEveryCompany) {
  const auto& [step, window] = GetParam();
  for (const WorldShape& shape : kShapes) check_attention_company(gpu(), shape, step, window);
}

TEST_P(GpuAttention, APromptHasTheSameBitsHoweverItIsCut) {
  const auto& [step, window] = GetParam();
  for (const WorldShape& shape : kShapes) check_attention_chunks(gpu(), shape, step, window);
}

INSTANTIATE_TEST_SUITE_P(Kernels, GpuAttention,
                         testing::Combine(testing::Values(backend::StepClass::prefill,
                                                          backend::StepClass::decode),
                                          testing::Values<int64_t>(0, 5, 600)),
                         [](const auto& info) {
                           return std::string(to_string(std::get<0>(info.param))) + "_window" +
                                  std::to_string(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace ingot::serve
