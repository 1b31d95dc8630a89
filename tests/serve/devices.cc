// A model over two memories gives the bits of one device.
#include <gtest/gtest.h>

#include "exec/far_backend.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

class Split : public testing::TestWithParam<std::string> {};

TEST_P(Split, LayersOnAFarDeviceGiveTheLogitsOfOne) {
  const auto model = load_model(checkpoint(GetParam()));
  cpu::CpuBackend cpu(1);
  exec::FarBackend far("far");
  const std::vector<exec::Device> devices{{.backend = &cpu, .name = "cpu"}, {.backend = &far, .name = "far"}};
  CompileOptions options;
  options.layers = {{.first = 1, .last = 1000, .device = "far"}};
  const StepperLimits limits{
      .sequences = 2, .context = 64, .prefill_tokens = 16, .cache_tokens = 0, .prefill_rows = 16};
  const int64_t vocab = model->dimensions().vocab;
  const std::vector<GivenSequence> sequences{
      {.tokens = random_tokens(1, 40, vocab), .prompt = 21, .chunk = 7},
      {.tokens = random_tokens(2, 30, vocab), .prompt = 5}};
  Stepper alone(model, cpu, Head::logits, limits);
  Stepper split(model, devices, Head::logits, limits, options);
  const std::vector<float> expected = logits_of_first(alone, sequences);
  const std::vector<float> found = logits_of_first(split, sequences);
  ASSERT_EQ(found.size(), static_cast<size_t>(40 * vocab));
  EXPECT_TRUE(found == expected);
  EXPECT_GT(far.launches(), 0U);
  EXPECT_GT(split.statistics().transfers, 0U);
  EXPECT_EQ(alone.statistics().transfers, 0U);
}

INSTANTIATE_TEST_SUITE_P(Architectures, Split,
                         testing::Values("gpt2/published", "llama/llama3", "qwen2/tied", "qwen3/tied_bf16"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace ingot::serve
