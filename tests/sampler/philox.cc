#include "dtype/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ingot::dtype {
namespace {

// The known answers that Random123 publishes for philox4x32-10.
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox({{0, 0, 0, 0}}, {{0, 0}}),
            (PhiloxCounter{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}));
  EXPECT_EQ(philox({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, {{0xffffffff, 0xffffffff}}),
            (PhiloxCounter{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}));
  EXPECT_EQ(philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, {{0xa4093822, 0x299f31d0}}),
            (PhiloxCounter{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}));
}

TEST(Philox, UniformNumbersLieInTheirRangeAndAreKeyedBySeedAndPosition) {
  std::set<double> seen;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, ~uint64_t{0}}) {
    for (uint32_t position : {0U, 1U, 2U, 0xffffffffU}) {
      const double u = philox_uniform(seed, position);
      EXPECT_GE(u, 0);
      EXPECT_LT(u, 1);
      EXPECT_EQ(u, philox_uniform(seed, position));
      EXPECT_TRUE(seen.insert(u).second) << "both halves of the seed and the position matter";
    }
  }
}

TEST(Philox, PositionsOfOneSeedAreEvenlySpreadAndUncorrelated) {
  constexpr int kDraws = 100000;
  double sum = 0;
  double squares = 0;
  double products = 0;
  double before = 0.5;
  for (uint32_t position = 0; position < kDraws; ++position) {
    const double u = philox_uniform(42, position) - 0.5;
    sum += u;
    squares += u * u;
    products += u * before;
    before = u;
  }
  // Five standard deviations each: of the mean, the variance and the lag-one covariance of uniform numbers.
  EXPECT_NEAR(sum / kDraws, 0, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / kDraws));
  EXPECT_NEAR(products / kDraws, 0, 5 / 12.0 / std::sqrt(kDraws));
}

}  // namespace
}  // namespace ingot::dtype
