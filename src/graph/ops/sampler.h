// The sampler of one row: logits and a sequence's parameters in, a token id out.
//
// The filters run in this order, each on what the one before left:
//   1. penalties: repetition (Keskar et al., 2019: divides positive logits, multiplies negative ones) on
//   tokens
//      of the prompt and of the generated text; frequency x count and presence are subtracted for generated
//      tokens only
//   2. temperature divides the logits; 0 means greedy: the highest logit, the lowest id on a tie
//   3. top-k keeps the k highest (ties: the lower ids)
//   4. top-p keeps the fewest most likely tokens whose probabilities reach p
//   5. min-p drops tokens less likely than min_p times the most likely one
// The draw inverts the cumulative distribution at one Philox number keyed by (seed, position).
#pragma once

#include <cstdint>
#include <span>

namespace ingot::graph {

/// Neutral values switch a filter off.
struct SamplerRow {
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  int32_t top_k = 0;  // 0: all
  uint64_t seed = 0;
  uint32_t position = 0;  // of the token to draw, counted from the sequence's start

  bool has_penalties() const {
    return repetition_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0;
  }
};

struct Candidate {
  float logit;
  int32_t id;
};

/// logits: [vocab]. counts: [vocab] or empty; > 0: times generated, < 0: in the prompt only, 0: unseen.
/// scratch: [vocab], overwritten. Allocates nothing. NaN logits count as -infinity.
int32_t sample_row(std::span<const float> logits, std::span<const int32_t> counts, const SamplerRow& row,
                   std::span<Candidate> scratch);

}  // namespace ingot::graph
