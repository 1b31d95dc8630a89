// Drives a Stepper over several sequences, with the chunks and the company that a test asks for.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "format/hf_folder.h"
#include "kv/sequence_pages.h"
#include "model/model.h"
#include "serve/stepper.h"

namespace ingot::serve {

inline std::shared_ptr<const model::Model> load_model(const std::filesystem::path& folder) {
  return std::make_shared<model::Model>(
      std::make_shared<format::HfFolder>(format::HfFolder::open(folder.string())));
}

inline std::filesystem::path checkpoint(const std::string& name) {
  return std::filesystem::path(INGOT_SOURCE_DIR) / "tests/model" / name;
}

inline std::vector<int32_t> random_tokens(uint32_t seed, int64_t count, int64_t vocab) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab)));
  return tokens;
}

/// A sequence whose tokens are all given: the first `prompt` go through prefill steps, the others through
/// decode steps.
struct GivenSequence {
  std::vector<int32_t> tokens;
  int64_t prompt = 0;
  int64_t chunk = 1 << 20;  // prompt tokens of one step at most
};

/// Runs them side by side and returns the logits of every row of the first one.
inline std::vector<float> logits_of_first(Stepper& stepper, const std::vector<GivenSequence>& sequences) {
  struct Progress {
    kv::SequencePages pages;
    int64_t done = 0;
  };
  std::vector<Progress> progress;
  for (const GivenSequence& sequence : sequences) {
    const auto tokens = static_cast<int64_t>(sequence.tokens.size());
    progress.push_back({.pages = {stepper.cache(), tokens}});
  }
  std::vector<float> logits;
  while (true) {
    const auto waits = [&](size_t i) { return progress[i].done < sequences[i].prompt; };
    backend::StepClass step = backend::StepClass::decode;
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (waits(i)) step = backend::StepClass::prefill;
    }
    std::vector<StepSequence> parts;
    int64_t room = stepper.limits().prefill_tokens;
    bool has_first = false;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const auto all = static_cast<int64_t>(sequences[i].tokens.size());
      int64_t count = 0;
      if (step == backend::StepClass::prefill) {
        if (waits(i)) count = std::min({sequences[i].chunk, room, sequences[i].prompt - progress[i].done});
        room -= count;
      } else if (progress[i].done < all) {
        count = 1;
      }
      if (count == 0) continue;
      progress[i].pages.grow(progress[i].done + count);
      StepSequence part;
      part.tokens = {sequences[i].tokens.data() + progress[i].done, static_cast<size_t>(count)};
      part.position = progress[i].done;
      part.pages = progress[i].pages.pages();
      part.logit_rows = i == 0 ? count : static_cast<int64_t>(i % 2);  // others ask for one row or none
      parts.push_back(part);
      progress[i].done += count;
      has_first = has_first || i == 0;
    }
    if (parts.empty()) return logits;
    const graph::Tensor rows = stepper.run(step, parts);
    if (!has_first) continue;
    const int64_t vocab = rows.shape[1];
    logits.insert(logits.end(), rows.f32(), rows.f32() + parts[0].logit_rows * vocab);
  }
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace ingot::serve
