// Logits and greedy tokens on the CPU against Hugging Face transformers. Devices: tests/gpu/goldens.cc.
#include <gmock/gmock.h>

#include "backend/registry.h"
#include "model/golden_checks.h"

namespace ingot {
namespace {

class Goldens : public testing::TestWithParam<std::string> {
 protected:
  const Golden golden_ = read_golden(GetParam());
  const std::unique_ptr<backend::Backend> backend_ = backend::make_backend("cpu", {.threads = 2});
};

TEST_P(Goldens, PromptAndDecodeLogitsEqualTransformers) {
  serve::Stepper stepper(golden_.model, *backend_, serve::Head::logits, golden_.limits());
  check_golden_logits(golden_, stepper, golden_.prompt_tokens());
}

TEST_P(Goldens, PromptInChunksGivesTheSameLogits) {
  serve::Stepper stepper(golden_.model, *backend_, serve::Head::logits, golden_.limits());
  check_golden_logits(golden_, stepper, 5);
}

TEST_P(Goldens, EngineGeneratesTheGreedyTokensOfTransformers) {
  serve::Engine engine(golden_.model, *backend_, token_limits(golden_));
  check_golden_tokens(golden_, engine, 0);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Goldens, testing::ValuesIn(golden_names()),
                         [](const auto& info) { return golden_word(info.param); });

TEST(GoldenCases, EveryArchitectureHasAtLeastThree) {
  const auto all = golden_names();
  for (const char* architecture : {"gpt2/", "llama/", "qwen2/", "qwen3/"}) {
    EXPECT_GE(
        std::count_if(all.begin(), all.end(), [&](const auto& c) { return c.starts_with(architecture); }), 3)
        << architecture;
  }
}

}  // namespace
}  // namespace ingot
