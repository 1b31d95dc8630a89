// Logits and greedy tokens that Hugging Face transformers computed in f32 for the checkpoints below
// tests/model/<architecture>/ (tools/goldens.py), and the checks that any device must pass with them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/hf_folder.h"
#include "format/safetensors.h"
#include "kv/sequence_pages.h"
#include "model/model.h"
#include "serve/engine.h"

namespace ingot {

struct Golden {
  std::shared_ptr<const model::Model> model;
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;
  std::vector<float> logits;  // [prompt + greedy - 1, vocab]
  double deviation = 0;       // of the logits

  int64_t prompt_tokens() const { return static_cast<int64_t>(prompt.size()); }
  int64_t vocab() const { return model->dimensions().vocab; }
  serve::StepperLimits limits() const {
    const auto tokens = static_cast<int64_t>(prompt.size() + greedy.size());
    return {.sequences = 1,
            .context = tokens,
            .prefill_tokens = tokens,
            .cache_tokens = 0,
            .prefill_rows = tokens};
  }
};

/// What the checks compare with. Kernels that round operands declare by how much (Kernel::rounding).
struct GoldenTolerance {
  double exact = 2e-4;  // of the logits' deviation: the tolerance of kernels that keep f32
  /// The same for each unit of rounding. A rounded product is off by about half a unit of its deviation, a
  /// model of two layers adds nine of these up, and the worst of many logits is six deviations of that; norms
  /// and softmax make the larger of such errors larger. Transformers in bf16, which rounds more often, is off
  /// by 0.05 to 0.31 of the deviation on these checkpoints; 32 roundings of 2^-8 are 0.125.
  double per_rounding = 32;
};

template <typename T>
std::vector<T> read_golden_tensor(const format::Safetensors& file, std::string_view name) {
  for (const format::Tensor& tensor : file.tensors) {
    if (tensor.name != name) continue;
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  ADD_FAILURE() << "golden without " << name;
  return {};
}

/// `name`: "llama/llama3".
inline Golden read_golden(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(INGOT_SOURCE_DIR) / "tests/model" / name;
  const MappedFile mapped((folder / "golden.safetensors").string());
  const format::Safetensors file = format::parse_safetensors(mapped.bytes(), mapped.path());
  Golden golden{.model = std::make_shared<model::Model>(
                    std::make_shared<format::HfFolder>(format::HfFolder::open(folder.string()))),
                .prompt = read_golden_tensor<int32_t>(file, "prompt"),
                .greedy = read_golden_tensor<int32_t>(file, "greedy"),
                .logits = read_golden_tensor<float>(file, "logits"),
                .deviation = 0};
  double sum = 0;
  double squares = 0;
  for (float logit : golden.logits) {
    sum += logit;
    squares += static_cast<double>(logit) * logit;
  }
  const auto count = static_cast<double>(golden.logits.size());
  golden.deviation = std::sqrt(squares / count - sum / count * (sum / count));
  return golden;
}

inline std::vector<std::string> golden_names() {
  std::vector<std::string> found;
  const std::filesystem::path root = std::filesystem::path(INGOT_SOURCE_DIR) / "tests/model";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() == "golden.safetensors")
      found.push_back(std::filesystem::relative(entry.path().parent_path(), root).string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// "llama/llama3" as the names of tests may hold it.
inline std::string golden_word(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

/// The largest rounding of the kernels that steps of both classes run: a prompt's is in the cache that decode
/// steps read.
inline double rounding_of(const serve::Stepper& stepper) {
  double most = 0;
  for (backend::StepClass step : {backend::StepClass::prefill, backend::StepClass::decode}) {
    for (const exec::PlannedLaunch& launch : stepper.plan(step).launches)
      most = std::max(most, launch.kernel->rounding);
  }
  return most;
}

inline double allowed_by(const Golden& golden, const serve::Stepper& stepper,
                         const GoldenTolerance& tolerance) {
  return golden.deviation * (tolerance.exact + tolerance.per_rounding * rounding_of(stepper));
}

inline void expect_golden_row(const Golden& golden, const float* found, int64_t row, double allowed) {
  const int64_t vocab = golden.vocab();
  double worst = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    const double error =
        std::abs(static_cast<double>(found[i]) - golden.logits[static_cast<size_t>(row * vocab + i)]);
    worst = error <= worst ? worst : error;  // NaN stays
  }
  EXPECT_LE(worst, allowed) << "row " << row;
}

/// The prompt in steps of `chunk` tokens, the rest token by token.
inline void check_golden_logits(const Golden& golden, serve::Stepper& stepper, int64_t chunk,
                                const GoldenTolerance& tolerance = {}) {
  const double allowed = allowed_by(golden, stepper, tolerance);
  kv::SequencePages pages(stepper.cache(), stepper.limits().context);
  pages.grow(stepper.limits().context);
  for (int64_t begin = 0; begin < golden.prompt_tokens(); begin += chunk) {
    const int64_t count = std::min(chunk, golden.prompt_tokens() - begin);
    serve::StepSequence part;
    part.tokens = {golden.prompt.data() + begin, static_cast<size_t>(count)};
    part.position = begin;
    part.pages = pages.pages();
    part.logit_rows = count;
    const graph::Tensor logits = stepper.run(backend::StepClass::prefill, {&part, 1});
    for (int64_t row = 0; row < count; ++row)
      expect_golden_row(golden, logits.f32() + row * golden.vocab(), begin + row, allowed);
  }
  for (size_t i = 0; i + 1 < golden.greedy.size(); ++i) {
    serve::StepSequence next;
    next.tokens = {&golden.greedy[i], 1};
    next.position = golden.prompt_tokens() + static_cast<int64_t>(i);
    next.pages = pages.pages();
    next.logit_rows = 1;
    expect_golden_row(golden, stepper.run(backend::StepClass::decode, {&next, 1}).f32(), next.position,
                      allowed);
  }
}

/// Several prefill steps, then greedy tokens. `allowed`: of a logit; where the two best are closer to each
/// other than that, either may be taken, and nothing after it is compared.
inline void check_golden_tokens(const Golden& golden, serve::Engine& engine, double allowed) {
  engine.add({.prompt = golden.prompt, .sampling = {}, .max_tokens = 32, .eos_tokens = {}});
  std::vector<int32_t> tokens;
  while (!engine.idle()) {
    for (const serve::Delivery& delivery : engine.step()) tokens.push_back(delivery.token);
  }
  ASSERT_EQ(tokens.size(), golden.greedy.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == golden.greedy[i]) continue;
    const float* logits =
        golden.logits.data() + (golden.prompt_tokens() - 1 + static_cast<int64_t>(i)) * golden.vocab();
    EXPECT_LE(logits[golden.greedy[i]] - logits[tokens[i]], 2 * allowed)
        << "token " << i << ": expected " << golden.greedy[i] << ", found " << tokens[i];
    return;
  }
}
/// Limits for that.
inline serve::StepperLimits token_limits(const Golden& golden) {
  serve::StepperLimits limits = golden.limits();
  limits.prefill_rows = 0;
  limits.prefill_tokens = 8;
  return limits;
}

}  // namespace ingot
