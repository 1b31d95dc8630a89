// Logits and greedy tokens on the GPU against Hugging Face transformers.
#include "gpu/gpu_test.h"
#include "model/golden_checks.h"

namespace ingot {
namespace {

class GpuGoldens : public OnGpu<testing::TestWithParam<std::string>> {
 protected:
  const Golden golden_ = read_golden(GetParam());
};

TEST_P(GpuGoldens, PromptAndDecodeLogitsEqualTransformers) {
  serve::Stepper stepper(golden_.model, gpu(), serve::Head::logits, golden_.limits());
  check_golden_logits(golden_, stepper, golden_.prompt_tokens());
}

TEST_P(GpuGoldens, PromptInChunksGivesTheSameLogits) {
  serve::Stepper stepper(golden_.model, gpu(), serve::Head::logits, golden_.limits());
  check_golden_logits(golden_, stepper, 5);
}

TEST_P(GpuGoldens, EngineGeneratesTheGreedyTokensOfTransformers) {
  const serve::Stepper stepper(golden_.model, gpu(), serve::Head::logits, golden_.limits());
  serve::Engine engine(golden_.model, gpu(), token_limits(golden_));
  check_golden_tokens(golden_, engine, allowed_by(golden_, stepper, {}));
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GpuGoldens, testing::ValuesIn(golden_names()),
                         [](const auto& info) { return golden_word(info.param); });

}  // namespace
}  // namespace ingot
