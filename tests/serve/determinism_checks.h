// The determinism contract, checked on any device: a request's logits and tokens are bit-identical alone,
// repeated, in any company and however prompts are cut into prefill steps.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "serve/engine.h"
#include "serve/sequences.h"

namespace ingot::serve {

/// Those of tests/model, and the one that ships.
inline std::vector<std::string> checkpoints() {
  std::vector<std::string> found;
  const std::filesystem::path root(INGOT_SOURCE_DIR);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "tests/model")) {
    if (entry.path().filename() == "config.json")
      found.push_back(std::filesystem::relative(entry.path().parent_path(), root).string());
  }
  if (std::filesystem::exists(root / "models/storyteller/config.json"))
    found.emplace_back("models/storyteller");
  std::sort(found.begin(), found.end());
  return found;
}

/// A model, a sequence of random tokens, and company for it.
class DeterminismWorld {
 public:
  static constexpr int64_t kPrompt = 45;  // crosses a page (32 tokens)
  static constexpr int64_t kTokens = 72;  // and again while decoding

  explicit DeterminismWorld(const std::string& name)
      : model(load_model(std::filesystem::path(INGOT_SOURCE_DIR) / name)),
        // Some of the tiny checkpoints are made for contexts shorter than two pages.
        tokens(std::min(kTokens, model->dimensions().max_positions)),
        prompt(std::min(kPrompt, tokens / 2)),
        first{.tokens = random_tokens(1, tokens, vocab()), .prompt = prompt} {}

  int64_t vocab() const { return model->dimensions().vocab; }
  StepperLimits limits(int64_t sequences, int64_t prefill_tokens) const {
    return {.sequences = sequences,
            .context = tokens,
            .prefill_tokens = prefill_tokens,
            .cache_tokens = 0,
            .prefill_rows = prefill_tokens};
  }
  /// The first sequence and others of every length and chunk.
  std::vector<GivenSequence> company(int64_t count) const {
    std::vector<GivenSequence> all{first};
    for (int64_t i = 1; i < count; ++i) {
      const int64_t others_prompt = 1 + i * 5 % (tokens - 1);
      all.push_back({.tokens = random_tokens(static_cast<uint32_t>(100 + i),
                                             std::min(tokens, others_prompt + 1 + i * 3), vocab()),
                     .prompt = others_prompt,
                     .chunk = 1 + i % 7});
    }
    return all;
  }
  /// The first sequence's.
  std::vector<float> logits(backend::Backend& backend, const StepperLimits& how,
                            const std::vector<GivenSequence>& sequences) const {
    Stepper stepper(model, backend, Head::logits, how);
    return logits_of_first(stepper, sequences);
  }
  /// Tokens drawn for requests of these seeds that run side by side.
  std::map<uint64_t, std::vector<int32_t>> sampled(backend::Backend& backend, int64_t prefill_tokens,
                                                   const std::vector<uint64_t>& seeds) const {
    StepperLimits how = limits(static_cast<int64_t>(seeds.size()), prefill_tokens);
    how.prefill_rows = 0;
    Engine engine(model, backend, how);
    std::map<int64_t, uint64_t> seed_of;
    std::map<uint64_t, std::vector<int32_t>> drawn;
    for (uint64_t seed : seeds) seed_of[engine.add(request(seed))] = seed;
    while (!engine.idle()) {
      for (const Delivery& delivery : engine.step())
        drawn[seed_of[delivery.sequence]].push_back(delivery.token);
    }
    return drawn;
  }

  const std::shared_ptr<const model::Model> model;
  const int64_t tokens;
  const int64_t prompt;
  const GivenSequence first;

 private:
  Request request(uint64_t seed) const {
    Request r;
    r.prompt =
        random_tokens(static_cast<uint32_t>(seed), 3 + static_cast<int64_t>(seed) * 7 % prompt, vocab());
    r.sampling = {.temperature = 0.9F, .top_p = 0.95F, .repetition_penalty = 1.1F, .top_k = 50, .seed = seed};
    r.max_tokens = 20;
    return r;
  }
};

inline std::string checkpoint_word(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

}  // namespace ingot::serve
