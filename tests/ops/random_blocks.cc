// The blocks that op cases multiply with: values of the size asked for, in every block format.
#include "opcases/random_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "dtype/formats.h"

namespace ingot::opcases {
namespace {

class RandomBlocks : public testing::TestWithParam<DType> {};

TEST_P(RandomBlocks, LieWithinTheScaleAndSpreadOverMostOfIt) {
  constexpr int64_t kValues = int64_t{64} * 256;
  for (const double scale : {1.0, 0.02}) {
    std::mt19937_64 random(3);
    std::vector<std::byte> blocks(static_cast<size_t>(dtype_bytes(GetParam(), kValues)));
    random_blocks(GetParam(), blocks, scale, [&] { return static_cast<double>(random() >> 11) * 0x1p-53; });
    double least = 0;
    double most = 0;
    double squares = 0;
    for (int64_t i = 0; i < kValues; ++i) {
      const double value = static_cast<double>(dtype::value_at(GetParam(), blocks.data(), i)) / scale;
      ASSERT_TRUE(std::isfinite(value)) << i;
      least = std::min(least, value);
      most = std::max(most, value);
      squares += value * value / static_cast<double>(kValues);
    }
    EXPECT_GE(least, -1.001);  // f16 scales round up at times
    EXPECT_LE(most, 1.001);
    EXPECT_LT(least, -0.5);
    EXPECT_GT(most, 0.5);
    EXPECT_GT(std::sqrt(squares), 0.15);
  }
}

std::vector<DType> block_formats() {
  std::vector<DType> found;
  for (int i = 0; i < kDTypeCount; ++i)
    if (is_block_dtype(static_cast<DType>(i))) found.push_back(static_cast<DType>(i));
  return found;
}

INSTANTIATE_TEST_SUITE_P(Formats, RandomBlocks, testing::ValuesIn(block_formats()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace ingot::opcases
