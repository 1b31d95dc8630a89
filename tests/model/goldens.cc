// Logits against Hugging Face transformers: each checkpoint below tests/model/<architecture>/ comes with the
// logits that transformers computed in f32 for a prompt and 32 greedy steps (tools/goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <vector>

#include "backend/registry.h"
#include "format/hf_folder.h"
#include "format/safetensors.h"
#include "kv/sequence_pages.h"
#include "model/model.h"
#include "serve/engine.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using backend::StepClass;

// Of the logits' standard deviation.
constexpr double kTolerance = 2e-4;

struct Golden {
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;
  std::vector<float> logits;  // [prompt + greedy - 1, vocab]
  double tolerance = 0;
};

template <typename T>
std::vector<T> read(const format::Safetensors& file, std::string_view name) {
  for (const format::Tensor& tensor : file.tensors) {
    if (tensor.name != name) continue;
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  ADD_FAILURE() << "golden without " << name;
  return {};
}

Golden read_golden(const fs::path& folder) {
  const MappedFile mapped((folder / "golden.safetensors").string());
  const format::Safetensors file = format::parse_safetensors(mapped.bytes(), mapped.path());
  Golden golden{.prompt = read<int32_t>(file, "prompt"),
                .greedy = read<int32_t>(file, "greedy"),
                .logits = read<float>(file, "logits"),
                .tolerance = 0};
  double sum = 0;
  double squares = 0;
  for (float logit : golden.logits) {
    sum += logit;
    squares += static_cast<double>(logit) * logit;
  }
  const auto count = static_cast<double>(golden.logits.size());
  golden.tolerance = kTolerance * std::sqrt(squares / count - sum / count * (sum / count));
  return golden;
}

std::vector<std::string> cases() {
  std::vector<std::string> found;
  const fs::path root = fs::path(INGOT_SOURCE_DIR) / "tests/model";
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().filename() == "golden.safetensors") {
      found.push_back(fs::relative(entry.path().parent_path(), root).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Goldens : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const fs::path folder = fs::path(INGOT_SOURCE_DIR) / "tests/model" / GetParam();
    golden_ = read_golden(folder);
    model_ = std::make_shared<model::Model>(
        std::make_shared<format::HfFolder>(format::HfFolder::open(folder.string())));
    backend_ = backend::make_backend("cpu", {.threads = 2});
  }
  int64_t prompt_tokens() const { return static_cast<int64_t>(golden_.prompt.size()); }
  serve::StepperLimits limits() const {
    const auto tokens = static_cast<int64_t>(golden_.prompt.size() + golden_.greedy.size());
    return {.sequences = 1,
            .context = tokens,
            .prefill_tokens = tokens,
            .cache_tokens = 0,
            .prefill_rows = tokens};
  }
  void expect_row(const float* found, int64_t row) const {
    const int64_t vocab = model_->dimensions().vocab;
    double worst = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(found[i]) -
                                       golden_.logits[static_cast<size_t>(row * vocab + i)]));
    }
    EXPECT_LE(worst, golden_.tolerance) << "row " << row;
  }

  Golden golden_;
  std::shared_ptr<model::Model> model_;
  std::unique_ptr<backend::Backend> backend_;
};

TEST_P(Goldens, PromptAndDecodeLogitsEqualTransformers) {
  serve::Stepper stepper(model_, *backend_, serve::Head::logits, limits());
  kv::SequencePages pages(stepper.cache(), limits().context);
  pages.grow(limits().context);
  serve::StepSequence prompt;
  prompt.tokens = golden_.prompt;
  prompt.pages = pages.pages();
  prompt.logit_rows = prompt_tokens();
  const graph::Tensor logits = stepper.run(StepClass::prefill, {&prompt, 1});
  for (int64_t row = 0; row < prompt_tokens(); ++row) {
    expect_row(logits.f32() + row * model_->dimensions().vocab, row);
  }
  for (size_t i = 0; i + 1 < golden_.greedy.size(); ++i) {
    serve::StepSequence next;
    next.tokens = {&golden_.greedy[i], 1};
    next.position = prompt_tokens() + static_cast<int64_t>(i);
    next.pages = pages.pages();
    next.logit_rows = 1;
    expect_row(stepper.run(StepClass::decode, {&next, 1}).f32(), next.position);
  }
}

TEST_P(Goldens, PromptInChunksGivesTheSameLogits) {
  serve::Stepper stepper(model_, *backend_, serve::Head::logits, limits());
  kv::SequencePages pages(stepper.cache(), limits().context);
  pages.grow(limits().context);
  for (int64_t begin = 0; begin < prompt_tokens(); begin += 5) {
    const int64_t count = std::min<int64_t>(5, prompt_tokens() - begin);
    serve::StepSequence chunk;
    chunk.tokens = {golden_.prompt.data() + begin, static_cast<size_t>(count)};
    chunk.position = begin;
    chunk.pages = pages.pages();
    chunk.logit_rows = count;
    const graph::Tensor logits = stepper.run(StepClass::prefill, {&chunk, 1});
    for (int64_t row = 0; row < count; ++row) {
      expect_row(logits.f32() + row * model_->dimensions().vocab, begin + row);
    }
  }
}

TEST_P(Goldens, EngineGeneratesTheGreedyTokensOfTransformers) {
  serve::StepperLimits some = limits();
  some.prefill_rows = 0;
  some.prefill_tokens = 8;  // several prefill steps
  serve::Engine engine(model_, *backend_, some);
  engine.add({.prompt = golden_.prompt, .sampling = {}, .max_tokens = 32, .eos_tokens = {}});
  std::vector<int32_t> tokens;
  while (!engine.idle()) {
    for (const serve::Delivery& delivery : engine.step()) tokens.push_back(delivery.token);
  }
  EXPECT_EQ(tokens, golden_.greedy);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Goldens, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

TEST(GoldenCases, EveryArchitectureHasAtLeastThree) {
  const auto all = cases();
  for (const char* architecture : {"gpt2/", "llama/", "qwen2/", "qwen3/"}) {
    EXPECT_GE(
        std::count_if(all.begin(), all.end(), [&](const auto& c) { return c.starts_with(architecture); }), 3)
        << architecture;
  }
}

}  // namespace
}  // namespace ingot
