// The plan of each architecture's decode and prefill step, as text: which ops were fused, what runs in which
// order on what kernel, and why. INGOT_UPDATE_GOLDENS=1 writes the texts anew; read the difference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "backend/registry.h"
#include "exec/explain.h"
#include "format/hf_folder.h"
#include "model/model.h"
#include "serve/stepper.h"

namespace ingot {
namespace {

using backend::StepClass;

class PlanGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string folder = INGOT_SOURCE_DIR "/tests/model/" + GetParam();
    model_ =
        std::make_shared<model::Model>(std::make_shared<format::HfFolder>(format::HfFolder::open(folder)));
    backend_ = backend::make_backend("cpu", {.threads = 1});
  }

  ExplainStep explain(StepClass step, const CompileOptions& options = {}) {
    const exec::Device device{.backend = backend_.get(), .name = "cpu"};
    const serve::Stepper stepper(
        model_, {&device, 1}, serve::Head::tokens,
        {.sequences = 2, .context = 64, .prefill_tokens = 16, .cache_tokens = 0, .prefill_rows = 0}, options);
    const exec::Plan& plan = stepper.plan(step);
    return exec::explain(plan, plan.bucket, {&device, 1});
  }

  std::shared_ptr<model::Model> model_;
  std::unique_ptr<backend::Backend> backend_;
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_P(PlanGolden, IsAsItWas) {
  std::string name = GetParam();
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string path = INGOT_SOURCE_DIR "/tests/explain/" + name + ".txt";
  const std::string text =
      to_plan_text(explain(StepClass::decode)) + "\n" + to_plan_text(explain(StepClass::prefill));
  if (std::getenv("INGOT_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
    GTEST_SKIP() << path << " was written, not compared";
  }
  EXPECT_EQ(text, read(path)) << "INGOT_UPDATE_GOLDENS=1 writes it anew";
}

TEST_P(PlanGolden, WithoutFusionRunsTheGraphAsBuilt) {
  CompileOptions unfused;
  unfused.no_fuse = {"all"};
  for (const StepClass step : {StepClass::decode, StepClass::prefill}) {
    const ExplainStep plain = explain(step, unfused);
    EXPECT_EQ(plain.launches, plain.launches_before);
    EXPECT_EQ(plain.graph_before, plain.graph_after);
    for (const ExplainRow& row : plain.rows) EXPECT_FALSE(row.op.starts_with("linear_")) << row.op;
    for (const ExplainPass& pass : plain.passes) EXPECT_FALSE(pass.ran) << pass.name;
    const ExplainStep fused = explain(step);
    EXPECT_EQ(fused.launches_before, plain.launches);
    EXPECT_LE(2 * fused.launches, plain.launches) << "fusion at least halves the launches";
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, PlanGolden,
                         testing::Values("gpt2/published", "llama/llama3", "llama/mistral", "qwen2/tied",
                                         "qwen3/tied_bf16"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace ingot
