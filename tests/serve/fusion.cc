// A fused step gives the bits of the unfused one: logits of every architecture, prompts in chunks and
// generated tokens, with all passes, with none and with each one switched off.
#include <gtest/gtest.h>

#include "fuse/fuse.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

namespace fs = std::filesystem;

class Fusion : public testing::TestWithParam<std::string> {
 protected:
  std::vector<float> logits(std::vector<std::string> off) const {
    const auto model = load_model(fs::path(INGOT_SOURCE_DIR) / GetParam());
    const int64_t tokens = std::min<int64_t>(50, model->dimensions().max_positions);
    const int64_t vocab = model->dimensions().vocab;
    const auto backend = backend::make_backend("cpu", {.threads = 2});
    CompileOptions options;
    options.no_fuse = std::move(off);
    const StepperLimits limits{
        .sequences = 2, .context = tokens, .prefill_tokens = 40, .cache_tokens = 0, .prefill_rows = 40};
    Stepper stepper(model, *backend, Head::logits, limits, options);
    return logits_of_first(stepper, {{.tokens = random_tokens(1, tokens, vocab), .prompt = tokens * 3 / 5},
                                     {.tokens = random_tokens(2, tokens, vocab), .prompt = 7, .chunk = 3}});
  }
};

TEST_P(Fusion, LogitsAreTheBitsOfTheUnfusedStep) {
  const std::vector<float> unfused = logits({"all"});
  ASSERT_FALSE(unfused.empty());
  EXPECT_TRUE(logits({}) == unfused) << "all passes";
  for (const fuse::PassInfo& pass : fuse::pass_infos()) {
    EXPECT_TRUE(logits({std::string(pass.name)}) == unfused) << "without " << pass.name;
  }
}

std::vector<std::string> checkpoints() {
  std::vector<std::string> found{"models/storyteller"};
  const fs::path root(INGOT_SOURCE_DIR);
  for (const auto& entry : fs::recursive_directory_iterator(root / "tests/model")) {
    if (entry.path().filename() == "config.json")
      found.push_back(fs::relative(entry.path().parent_path(), root).string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Fusion, testing::ValuesIn(checkpoints()), test_name);

}  // namespace
}  // namespace ingot::serve
