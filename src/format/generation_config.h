// How a checkpoint wants its text sampled: generation_config.json, with transformers' defaults where it is
// silent.
//
// A plain value; it says what the files say. The sampler decides the order of the filters.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "format/config.h"

namespace ingot::format {

struct GenerationConfig {
  bool do_sample = false;  // false: greedy
  double temperature = 1;  // 0: greedy
  int64_t top_k = 50;      // tokens kept; 0: all
  double top_p = 1;        // probability mass kept, [0, 1]; 0 keeps the best token
  double min_p = 0;        // least share of the best token's probability, [0, 1]
  double repetition_penalty = 1;
  std::optional<int64_t> max_new_tokens;
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;  // any of them ends the text
  std::optional<int64_t> pad_token_id;

  bool operator==(const GenerationConfig&) const = default;
};

/// Reads generation_config.json (`generation`, without keys where the file is absent). Token ids that it
/// leaves out come from config.json (`model`). The id -1 counts as none: some published files write it.
/// Errors: invalid_file for a value of the wrong type or out of range.
GenerationConfig read_generation_config(const Config& generation, const Config& model);

}  // namespace ingot::format
