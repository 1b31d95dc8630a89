#include "graph/ops/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "dtype/philox.h"

namespace ingot::graph {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Descending by logit, ascending by id: a total order, so that every device keeps the same tokens.
bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

float penalised(float logit, int32_t count, const SamplerRow& row) {
  if (count != 0) logit = logit > 0 ? logit / row.repetition_penalty : logit * row.repetition_penalty;
  if (count > 0) logit -= row.frequency_penalty * static_cast<float>(count) + row.presence_penalty;
  return logit;
}

int32_t greedy(std::span<const Candidate> candidates) {
  Candidate best{kNever, 0};
  for (const Candidate& candidate : candidates) {
    if (candidate.logit > best.logit) best = candidate;
  }
  return best.id;
}

/// Unnormalised probability of a candidate whose logit is relative to the highest.
double weight(const Candidate& candidate) {
  return std::exp(static_cast<double>(candidate.logit));
}

/// Keeps the fewest likeliest candidates whose share of `total` reaches top_p; the kept ones end up sorted.
/// Sorts ever longer heads, because a nucleus is short and a vocabulary is long.
std::span<Candidate> keep_nucleus(std::span<Candidate> candidates, double top_p) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate);
  double reached = 0;
  size_t sorted = 0;
  for (size_t head = 64; sorted < candidates.size(); head *= 8) {
    const size_t end = std::min(head, candidates.size());
    const auto from = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto to = candidates.begin() + static_cast<std::ptrdiff_t>(end);
    std::partial_sort(from, to, candidates.end(), likelier);
    for (; sorted < end; ++sorted) {
      reached += weight(candidates[sorted]);
      if (reached >= top_p * total) return candidates.first(sorted + 1);
    }
  }
  return candidates;
}

}  // namespace

int32_t sample_row(std::span<const float> logits, std::span<const int32_t> counts, const SamplerRow& row,
                   std::span<Candidate> scratch) {
  INGOT_CHECK(scratch.size() >= logits.size() && !logits.empty(), "sampler: scratch of {} for {} logits",
              scratch.size(), logits.size());
  std::span<Candidate> candidates = scratch.first(logits.size());
  const bool penalties = row.has_penalties() && !counts.empty();
  for (size_t i = 0; i < logits.size(); ++i) {
    float logit = std::isnan(logits[i]) ? kNever : logits[i];
    if (penalties) logit = penalised(logit, counts[i], row);
    candidates[i] = {logit, static_cast<int32_t>(i)};
  }
  if (row.temperature <= 0 || row.top_k == 1) return greedy(candidates);

  float max = kNever;
  for (const Candidate& candidate : candidates) max = std::max(max, candidate.logit);
  if (!std::isfinite(max)) return greedy(candidates);  // nothing is possible, or one token is certain
  // Relative to the highest: however small the temperature, what overflows is impossible, not certain.
  for (Candidate& candidate : candidates) candidate.logit = (candidate.logit - max) / row.temperature;
  if (row.top_k > 0 && static_cast<size_t>(row.top_k) < candidates.size()) {
    const auto kept = static_cast<size_t>(row.top_k);
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(kept - 1),
                     candidates.end(), likelier);
    candidates = candidates.first(kept);
    // Sorted, so that the draw does not depend on how nth_element left them.
    std::sort(candidates.begin(), candidates.end(), likelier);
  }
  if (row.top_p < 1) candidates = keep_nucleus(candidates, row.top_p);
  const double least = row.min_p > 0 ? std::log(static_cast<double>(row.min_p)) : kNever;

  const auto kept_weight = [&](const Candidate& candidate) {
    return candidate.logit >= least ? weight(candidate) : 0.0;
  };
  double total = 0;
  for (const Candidate& candidate : candidates) total += kept_weight(candidate);
  const double target = dtype::philox_uniform(row.seed, row.position) * total;
  double reached = 0;
  int32_t last = candidates.front().id;
  for (const Candidate& candidate : candidates) {
    const double share = kept_weight(candidate);
    if (share <= 0) continue;
    reached += share;
    last = candidate.id;
    if (reached > target) break;
  }
  return last;
}

}  // namespace ingot::graph
