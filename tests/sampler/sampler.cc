// The sampler's rules at their edges.
#include "graph/ops/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "ingot/error.h"

namespace ingot::graph {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int32_t sample(const std::vector<float>& logits, const SamplerRow& row = {},
               const std::vector<int32_t>& counts = {}) {
  std::vector<Candidate> scratch(logits.size());
  return sample_row(logits, counts, row, scratch);
}

/// Every token that 2000 positions draw.
std::set<int32_t> support(const std::vector<float>& logits, SamplerRow row,
                          const std::vector<int32_t>& counts = {}) {
  std::set<int32_t> tokens;
  for (row.position = 0; row.position < 2000; ++row.position) tokens.insert(sample(logits, row, counts));
  return tokens;
}

TEST(Greedy, TakesTheHighestAndTheLowestIdOnATie) {
  EXPECT_EQ(sample({1, 3, 2}), 1);
  EXPECT_EQ(sample({3, 1, 3, 3}), 0);
  EXPECT_EQ(sample({-5, -5}), 0);
  EXPECT_EQ(sample({7}), 0);
  EXPECT_EQ(sample({-0.0F, 0.0F}), 0);
}

TEST(Greedy, TopKOfOneIsGreedyAtEveryTemperature) {
  EXPECT_EQ(support({1, 3, 2, 3}, {.temperature = 5, .top_k = 1}), (std::set<int32_t>{1}));
}

TEST(Greedy, TemperaturesTowardsZeroApproachIt) {
  for (float temperature : {1e-3F, 1e-20F, 1e-38F, 1e-45F}) {
    EXPECT_EQ(support({100, 300, 299, -300}, {.temperature = temperature}), (std::set<int32_t>{1}))
        << temperature;
  }
}

TEST(Nan, CountsAsImpossible) {
  EXPECT_EQ(sample({kNan, 1, 2}), 2);
  EXPECT_EQ(sample({kNan, -kInfinity, -7}), 2);
  EXPECT_EQ(support({kNan, 1, kNan, 1}, {.temperature = 1}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(support({kNan, 1, kNan, 1}, {.temperature = 1, .top_p = 0.9F}), (std::set<int32_t>{1, 3}));
}

TEST(Nan, WhereNothingIsPossibleTheFirstTokenIsGiven) {
  EXPECT_EQ(sample({kNan, kNan}), 0);
  EXPECT_EQ(sample({-kInfinity, -kInfinity}, {.temperature = 1}), 0);
}

TEST(Infinity, IsCertain) {
  EXPECT_EQ(sample({1, kInfinity, 2}), 1);
  EXPECT_EQ(support({1, kInfinity, 2}, {.temperature = 2}), (std::set<int32_t>{1}));
}

TEST(TopK, KeepsTheLowerIdsOfATie) {
  EXPECT_EQ(support({1, 1, 1, 1, 1}, {.temperature = 1, .top_k = 3}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support({1, 1, 1}, {.temperature = 1, .top_k = 9}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support({1, 1, 1}, {.temperature = 1, .top_k = 0}), (std::set<int32_t>{0, 1, 2}));
}

TEST(TopP, KeepsTheFewestThatReachIt) {
  const std::vector<float> quarters(4, 0.0F);
  EXPECT_EQ(support(quarters, {.temperature = 1, .top_p = 0.5F}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support(quarters, {.temperature = 1, .top_p = 0.51F}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support(quarters, {.temperature = 1, .top_p = 0}), (std::set<int32_t>{0}));
  EXPECT_EQ(support(quarters, {.temperature = 1, .top_p = 1}), (std::set<int32_t>{0, 1, 2, 3}));
}

TEST(TopP, WorksBeyondTheHeadThatIsSortedFirst) {
  // 1000 equal tokens: 0.7 of them are the first 700.
  const std::set<int32_t> kept = support(std::vector<float>(1000, 2.0F), {.temperature = 1, .top_p = 0.7F});
  EXPECT_GT(kept.size(), 600U);
  EXPECT_LE(*kept.rbegin(), 700);
}

TEST(MinP, KeepsWhatIsLikelyEnoughOfTheBest) {
  const std::vector<float> logits{std::log(1.0F), std::log(0.5F), std::log(0.2F), std::log(0.05F)};
  EXPECT_EQ(support(logits, {.temperature = 1, .min_p = 0.1F}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support(logits, {.temperature = 1, .min_p = 0.3F}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support(logits, {.temperature = 1, .min_p = 1}), (std::set<int32_t>{0}));
}

TEST(Penalties, RepetitionDividesPositiveAndMultipliesNegativeLogitsOfSeenTokens) {
  const SamplerRow row{.repetition_penalty = 2};
  EXPECT_EQ(sample({4, 3}, row, {1, 0}), 1) << "4 / 2 < 3";
  EXPECT_EQ(sample({4, 1}, row, {1, 0}), 0) << "4 / 2 > 1";
  EXPECT_EQ(sample({-2, -3}, row, {1, 0}), 1) << "-2 * 2 < -3";
  EXPECT_EQ(sample({4, 3}, row, {-1, 0}), 1) << "a token of the prompt counts";
}

TEST(Penalties, FrequencyAndPresenceAreForGeneratedTokensOnly) {
  EXPECT_EQ(sample({4, 3}, {.frequency_penalty = 0.6F}, {1, 0}), 0);
  EXPECT_EQ(sample({4, 3}, {.frequency_penalty = 0.6F}, {2, 0}), 1);
  EXPECT_EQ(sample({4, 3}, {.presence_penalty = 1.5F}, {1, 0}), 1);
  EXPECT_EQ(sample({4, 3}, {.presence_penalty = 1.5F}, {-1, 0}), 0);
  EXPECT_EQ(sample({4, 3}, {.frequency_penalty = 9}, {-1, 0}), 0);
}

TEST(Penalties, WithoutCountsThereAreNone) {
  EXPECT_EQ(sample({4, 3}, {.repetition_penalty = 9, .frequency_penalty = 9, .presence_penalty = 9}), 0);
}

TEST(Seed, TheSameSeedAndPositionGiveTheSameToken) {
  const std::vector<float> logits(50, 0.0F);
  std::vector<int32_t> first;
  std::vector<int32_t> again;
  std::vector<int32_t> other;
  for (uint32_t position = 0; position < 100; ++position) {
    first.push_back(sample(logits, {.temperature = 1, .seed = 7, .position = position}));
    again.push_back(sample(logits, {.temperature = 1, .seed = 7, .position = position}));
    other.push_back(sample(logits, {.temperature = 1, .seed = uint64_t{7} << 32, .position = position}));
  }
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
}

TEST(Scratch, TooLittleIsABrokenInvariant) {
  const std::vector<float> logits(5, 0.0F);
  std::vector<Candidate> scratch(4);
  EXPECT_THROW(sample_row(logits, {}, {}, scratch), Error);
  EXPECT_THROW(sample_row({}, {}, {}, scratch), Error);
}

}  // namespace
}  // namespace ingot::graph
