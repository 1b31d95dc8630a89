// Every storage format against outside implementations, bit for bit: the block formats against the gguf
// package, f8_e4m3 against PyTorch.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "dtype/formats.h"
#include "dtype/goldens.h"

namespace ingot::dtype {
namespace {

class Decode : public testing::TestWithParam<DType> {};

TEST_P(Decode, MatchesTheGoldensBitForBit) {
  const Goldens goldens;
  const std::string name(to_string(GetParam()));
  const std::span<const std::byte> stored = goldens.bytes(name + ".blocks");
  const std::vector<std::byte> blocks(stored.begin(), stored.end());  // at an address that suits every block
  const std::vector<float> values = goldens.floats(name + ".values");

  const DTypeBlock block = block_of(GetParam());
  ASSERT_GE(values.size(), 256U);
  ASSERT_EQ(dtype_bytes(GetParam(), static_cast<int64_t>(values.size())),
            static_cast<int64_t>(blocks.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    const float found = value_at(GetParam(), blocks.data(), static_cast<int64_t>(i));
    if (std::isnan(values[i])) {  // f8_e4m3's two; which NaN they become is left open
      ASSERT_TRUE(std::isnan(found)) << i;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(found), std::bit_cast<uint32_t>(values[i]))
        << "value " << static_cast<int64_t>(i) % block.elements << " of block "
        << static_cast<int64_t>(i) / block.elements << " is " << found << ", should be " << values[i];
  }
}

TEST(Formats, EveryBlockFormatHasItsBlock) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const bool known = with_blocks(dtype, nullptr, [&]<class Block>(const Block*) {
      EXPECT_EQ(Block::kElements, block_of(dtype).elements) << to_string(dtype);
      EXPECT_EQ(static_cast<int64_t>(sizeof(Block)), block_of(dtype).bytes) << to_string(dtype);
    });
    EXPECT_EQ(known, is_block_dtype(dtype)) << to_string(dtype);
  }
}

/// Every format that is not an IEEE one (half.cc has those), so that a new one cannot go without goldens.
std::vector<DType> formats() {
  std::vector<DType> found;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (is_weight_dtype(dtype) && !is_float_dtype(dtype)) found.push_back(dtype);
  }
  return found;
}

INSTANTIATE_TEST_SUITE_P(Formats, Decode, testing::ValuesIn(formats()),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace ingot::dtype
