// The determinism contract: a request's logits and tokens are bit-identical alone, repeated, in any company,
// with any number of threads and however prompts are cut into prefill steps.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "serve/engine.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPrompt = 45;  // crosses a page (32 tokens)
constexpr int64_t kTokens = 72;  // and again while decoding

std::vector<std::string> checkpoints() {
  std::vector<std::string> found;
  const fs::path root(INGOT_SOURCE_DIR);
  for (const auto& entry : fs::recursive_directory_iterator(root / "tests/model")) {
    if (entry.path().filename() == "config.json")
      found.push_back(fs::relative(entry.path().parent_path(), root).string());
  }
  if (fs::exists(root / "models/storyteller/config.json")) found.emplace_back("models/storyteller");
  std::sort(found.begin(), found.end());
  return found;
}

class Determinism : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = load_model(fs::path(INGOT_SOURCE_DIR) / GetParam());
    // Some of the tiny checkpoints are made for contexts shorter than two pages.
    tokens_ = std::min(kTokens, model_->dimensions().max_positions);
    prompt_ = std::min(kPrompt, tokens_ / 2);
    first_ = {.tokens = random_tokens(1, tokens_, vocab()), .prompt = prompt_};
  }
  int64_t vocab() const { return model_->dimensions().vocab; }
  StepperLimits limits(int64_t sequences, int64_t prefill_tokens) const {
    return {.sequences = sequences,
            .context = tokens_,
            .prefill_tokens = prefill_tokens,
            .cache_tokens = 0,
            .prefill_rows = prefill_tokens};
  }
  /// The first sequence and others of every length and chunk.
  std::vector<GivenSequence> company(int64_t count) const {
    std::vector<GivenSequence> all{first_};
    for (int64_t i = 1; i < count; ++i) {
      const int64_t prompt = 1 + i * 5 % (tokens_ - 1);
      all.push_back({.tokens = random_tokens(static_cast<uint32_t>(100 + i),
                                             std::min(tokens_, prompt + 1 + i * 3), vocab()),
                     .prompt = prompt,
                     .chunk = 1 + i % 7});
    }
    return all;
  }
  std::vector<float> logits(int threads, const StepperLimits& limits,
                            const std::vector<GivenSequence>& sequences) const {
    const auto backend = backend::make_backend("cpu", {.threads = threads});
    Stepper stepper(model_, *backend, Head::logits, limits);
    return logits_of_first(stepper, sequences);
  }

  std::shared_ptr<const model::Model> model_;
  int64_t tokens_ = 0;
  int64_t prompt_ = 0;
  GivenSequence first_;
};

TEST_P(Determinism, LogitsHaveTheSameBitsHoweverARequestIsRun) {
  const std::vector<float> alone = logits(1, limits(1, tokens_), {first_});
  ASSERT_EQ(static_cast<int64_t>(alone.size()), tokens_ * vocab());
  for (int threads : {1, 2, 3, 8}) {
    EXPECT_TRUE(same_bits(logits(threads, limits(1, tokens_), {first_}), alone)) << threads << " threads";
    EXPECT_TRUE(same_bits(logits(threads, limits(17, 61), company(17)), alone))
        << threads << " threads, 17 sequences";
  }
  EXPECT_TRUE(same_bits(logits(2, limits(2, tokens_), company(2)), alone)) << "2 sequences";
  for (int64_t chunk : {1, 5, 13, 32, 33}) {
    GivenSequence cut = first_;
    cut.chunk = chunk;
    EXPECT_TRUE(same_bits(logits(2, limits(1, tokens_), {cut}), alone)) << "chunks of " << chunk;
    std::vector<GivenSequence> mixed = company(17);
    mixed[0].chunk = chunk;
    EXPECT_TRUE(same_bits(logits(2, limits(17, 40), mixed), alone)) << "17 sequences, chunks of " << chunk;
  }
}

TEST_P(Determinism, ASecondRunOnUsedPagesHasTheSameBits) {
  const auto backend = backend::make_backend("cpu", {.threads = 2});
  Stepper stepper(model_, *backend, Head::logits, limits(17, tokens_));
  const std::vector<float> before = logits_of_first(stepper, {first_});
  logits_of_first(stepper, company(17));  // leaves its keys and values in the pages
  EXPECT_TRUE(same_bits(logits_of_first(stepper, {first_}), before));
}

TEST_P(Determinism, SampledTokensAreTheSameAloneAndInCompany) {
  const auto request = [&](uint64_t seed) {
    Request r;
    r.prompt =
        random_tokens(static_cast<uint32_t>(seed), 3 + static_cast<int64_t>(seed) * 7 % prompt_, vocab());
    r.sampling = {.temperature = 0.9F, .top_p = 0.95F, .repetition_penalty = 1.1F, .top_k = 50, .seed = seed};
    r.max_tokens = 20;
    return r;
  };
  const auto tokens_with = [&](int threads, int64_t prefill_tokens, const std::vector<uint64_t>& seeds) {
    const auto backend = backend::make_backend("cpu", {.threads = threads});
    StepperLimits l = limits(17, prefill_tokens);
    l.prefill_rows = 0;
    Engine engine(model_, *backend, l);
    std::map<int64_t, uint64_t> seed_of;
    std::map<uint64_t, std::vector<int32_t>> tokens;
    for (uint64_t seed : seeds) seed_of[engine.add(request(seed))] = seed;
    while (!engine.idle()) {
      for (const Delivery& delivery : engine.step())
        tokens[seed_of[delivery.sequence]].push_back(delivery.token);
    }
    return tokens;
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

std::string case_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Determinism, testing::ValuesIn(checkpoints()), case_name);

}  // namespace
}  // namespace ingot::serve
