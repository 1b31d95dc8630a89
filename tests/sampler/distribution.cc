// Tokens drawn by the sampler against the distribution that sampler.h documents, computed here in f64 and in
// another way, by the chi-square test. Seeds are fixed: the same draws on every machine.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "graph/ops/sampler.h"

namespace ingot::graph {
namespace {

constexpr int kDraws = 10000;

struct Situation {
  std::vector<float> logits;
  std::vector<int32_t> counts;
  SamplerRow row;
};

/// The probability of each token by the documented order of filters.
std::vector<double> expected_probabilities(const Situation& s) {
  const size_t vocab = s.logits.size();
  std::vector<double> logit(s.logits.begin(), s.logits.end());
  for (size_t i = 0; i < vocab; ++i) {
    if (!s.counts.empty() && s.counts[i] != 0) {
      logit[i] = logit[i] > 0 ? logit[i] / s.row.repetition_penalty : logit[i] * s.row.repetition_penalty;
    }
    if (!s.counts.empty() && s.counts[i] > 0) {
      logit[i] -= static_cast<double>(s.row.frequency_penalty) * s.counts[i] + s.row.presence_penalty;
    }
    logit[i] /= s.row.temperature;
  }
  std::vector<size_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logit[a] > logit[b]; });
  if (s.row.top_k > 0) order.resize(std::min<size_t>(order.size(), static_cast<size_t>(s.row.top_k)));
  const auto normalised = [&] {
    std::vector<double> p;
    p.reserve(order.size());
    for (size_t token : order) p.push_back(std::exp(logit[token] - logit[order[0]]));
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= total;
    return p;
  };
  std::vector<double> p = normalised();
  if (s.row.top_p < 1) {
    double reached = 0;
    size_t kept = 0;
    while (kept < p.size() && reached < s.row.top_p) reached += p[kept++];
    order.resize(std::max<size_t>(kept, 1));
    p = normalised();
  }
  size_t kept = 0;
  while (kept < p.size() && p[kept] >= s.row.min_p * p[0] * (1 - 1e-9)) ++kept;
  order.resize(kept);
  p = normalised();
  std::vector<double> by_token(vocab, 0.0);
  for (size_t i = 0; i < order.size(); ++i) by_token[order[i]] = p[i];
  return by_token;
}

std::vector<int> draw(const Situation& s) {
  std::vector<int> drawn(s.logits.size());
  std::vector<Candidate> scratch(s.logits.size());
  SamplerRow row = s.row;
  for (int i = 0; i < kDraws; ++i) {
    row.position = static_cast<uint32_t>(i);
    ++drawn[static_cast<size_t>(sample_row(s.logits, s.counts, row, scratch))];
  }
  return drawn;
}

/// P(chi-square with `degrees` degrees of freedom >= x): the regularised upper incomplete gamma function
/// Q(degrees / 2, x / 2), by its series below and its continued fraction above the mean (Abramowitz and
/// Stegun, 6.5).
double chi_square_tail(double x, int degrees) {
  const double a = degrees / 2.0;
  const double z = x / 2;
  if (z <= 0) return 1;
  const double front = std::exp(a * std::log(z) - z - std::lgamma(a));
  if (z < a + 1) {
    double term = 1 / a;
    double sum = term;
    for (int n = 1; n < 1000; ++n) sum += term *= z / (a + n);
    return 1 - front * sum;
  }
  double fraction = 0;
  for (int n = 1000; n > 0; --n) fraction = n * (n - a) / (z + 2 * n + 1 - a - fraction);
  return front / (z + 1 - a - fraction);
}

/// The probability of a deviation from `p` at least as large as that of `drawn`, tokens of few expected draws
/// pooled.
double p_value(const std::vector<double>& p, const std::vector<int>& drawn) {
  double statistic = 0;
  int cells = 0;
  double rare_expected = 0;
  double rare_drawn = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * kDraws;
    if (expected < 8) {
      rare_expected += expected;
      rare_drawn += drawn[i];
      continue;
    }
    statistic += (drawn[i] - expected) * (drawn[i] - expected) / expected;
    ++cells;
  }
  if (rare_expected >= 8) {
    statistic += (rare_drawn - rare_expected) * (rare_drawn - rare_expected) / rare_expected;
    ++cells;
  }
  return cells < 2 ? 1 : chi_square_tail(statistic, cells - 1);
}

Situation situation(uint32_t seed, size_t vocab, double spread) {
  std::mt19937 random(seed);  // the standard fixes its numbers
  Situation s;
  for (size_t i = 0; i < vocab; ++i) {
    s.logits.push_back(static_cast<float>((static_cast<double>(random()) * 0x1p-32 - 0.5) * spread));
    s.counts.push_back(static_cast<int32_t>(random() % 5) - 1);
  }
  s.row.temperature = 1;
  s.row.seed = uint64_t{seed} << 20 | 12345;
  return s;
}

std::vector<std::pair<std::string, Situation>> situations() {
  std::vector<std::pair<std::string, Situation>> all;
  uint32_t seed = 1;
  for (const size_t vocab : std::initializer_list<size_t>{2, 7, 40, 300}) {
    for (float temperature : {0.3F, 0.8F, 1.0F, 1.7F}) {
      for (int filters = 0; filters < 16; ++filters) {
        Situation s = situation(seed++, vocab, 6);
        s.row.temperature = temperature;
        if (filters & 1) s.row.top_k = static_cast<int32_t>(vocab / 2 + 1);
        if (filters & 2) s.row.top_p = 0.85F;
        if (filters & 4) s.row.min_p = 0.07F;
        if (filters & 8) {
          s.row.repetition_penalty = 1.3F;
          s.row.frequency_penalty = 0.2F;
          s.row.presence_penalty = 0.4F;
        } else {
          s.counts.clear();
        }
        all.emplace_back(
            fmt::format("vocab {}, temperature {}, top-k {}, top-p {}, min-p {}{}", vocab, temperature,
                        s.row.top_k, s.row.top_p, s.row.min_p, filters & 8 ? ", penalties" : ""),
            std::move(s));
      }
    }
  }
  return all;
}

TEST(SamplerDistribution, IsTheDocumentedOneForEveryMixtureOfFilters) {
  const auto all = situations();
  ASSERT_EQ(all.size(), 256U);
  int below_one_percent = 0;
  for (const auto& [name, s] : all) {
    const std::vector<double> probabilities = expected_probabilities(s);
    const std::vector<int> drawn = draw(s);
    const double p = p_value(probabilities, drawn);
    EXPECT_GT(p, 0.01 / static_cast<double>(all.size())) << name;  // Bonferroni: 1 % for all together
    below_one_percent += p < 0.01 ? 1 : 0;
    for (size_t i = 0; i < drawn.size(); ++i) {
      if (probabilities[i] == 0) {
        EXPECT_EQ(drawn[i], 0) << name << ", token " << i << " is filtered out";
      } else if (probabilities[i] * kDraws > 25) {
        EXPECT_GT(drawn[i], 0) << name << ", token " << i << " of probability " << probabilities[i];
      }
    }
  }
  EXPECT_LE(below_one_percent, 9) << "2.6 are expected, 9 are four deviations more";
}

TEST(SamplerDistribution, TheTestNoticesASmallError) {
  Situation s = situation(99, 40, 6);
  s.counts.clear();
  const std::vector<int> drawn = draw(s);
  EXPECT_GT(p_value(expected_probabilities(s), drawn), 1e-3);
  s.row.temperature = 1.15F;
  EXPECT_LT(p_value(expected_probabilities(s), drawn), 1e-6) << "15 % of temperature";
  s.row.temperature = 1;
  s.row.min_p = 0.1F;
  EXPECT_LT(p_value(expected_probabilities(s), drawn), 1e-6) << "a filter that is off";
}

TEST(ChiSquare, TailsAreThoseOfTheTables) {
  EXPECT_NEAR(chi_square_tail(3.841459, 1), 0.05, 1e-6);
  EXPECT_NEAR(chi_square_tail(18.307038, 10), 0.05, 1e-6);
  EXPECT_NEAR(chi_square_tail(29.588298, 10), 0.001, 1e-7);
  EXPECT_NEAR(chi_square_tail(67.327563, 100), 0.995, 1e-6);
}

}  // namespace
}  // namespace ingot::graph
