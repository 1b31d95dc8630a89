// Encoders: bits against the gguf package where it encodes, error bounds where it does not, and the blocks on
// which encoders go wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "dtype/encoders.h"
#include "dtype/goldens.h"

namespace ingot::dtype {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<std::byte> encoded(DType dtype, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<std::byte> blocks(static_cast<size_t>(dtype_bytes(dtype, count)));
  EXPECT_EQ(count % block_of(dtype).elements, 0);
  EXPECT_TRUE(encode(dtype, values.data(), count, blocks.data()));
  return blocks;
}

std::vector<float> decoded(DType dtype, const std::vector<std::byte>& blocks, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = value_at(dtype, blocks.data(), static_cast<int64_t>(i));
  return values;
}

std::vector<float> round_trip(DType dtype, const std::vector<float>& values) {
  return decoded(dtype, encoded(dtype, values), values.size());
}

/// Root of the mean squared error, relative to that of the values.
double relative_error(const std::vector<float>& found, const std::vector<float>& values) {
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(found[i]) - static_cast<double>(values[i]), 2);
    size += std::pow(static_cast<double>(values[i]), 2);
  }
  return std::sqrt(error / size);
}

std::vector<float> gaussian(size_t count, float scale = 1) {
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<float> heavy_tailed(size_t count) {
  std::mt19937_64 random(8);
  std::student_t_distribution<float> student(4);
  std::vector<float> values(count);
  for (float& value : values) value = 0.02F * student(random);
  return values;
}

constexpr size_t kMany = size_t{64} * 256;

TEST(Encoders, AreThoseThatUsersQuantiseTo) {
  std::string names;
  for (int i = 0; i < kDTypeCount; ++i)
    if (has_encoder(static_cast<DType>(i))) names += std::string(to_string(static_cast<DType>(i))) + " ";
  EXPECT_EQ(names, "q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q6_k mxfp4 ");
}

TEST(Encoders, ReturnFalseForAFormatWithout) {
  const std::vector<float> values(256, 1.0F);
  std::vector<std::byte> blocks(512, std::byte{7});
  EXPECT_FALSE(encode(DType::q2_k, values.data(), 256, blocks.data()));
  EXPECT_FALSE(encode(DType::f16, values.data(), 256, blocks.data()));
  EXPECT_EQ(blocks, std::vector<std::byte>(512, std::byte{7}));
}

struct Format {
  DType dtype;
  double gaussian;      // greatest relative_error() of Gaussian values
  double heavy_tailed;  // of Student's t of 4 degrees of freedom
};

void PrintTo(const Format& format, std::ostream* out) {
  *out << to_string(format.dtype);
}

class Encode : public testing::TestWithParam<Format> {
 protected:
  static DType dtype() { return GetParam().dtype; }
};

TEST_P(Encode, ErrsWithinTheFormatsBound) {
  for (const bool heavy : {false, true}) {
    const std::vector<float> values = heavy ? heavy_tailed(kMany) : gaussian(kMany);
    const double error = relative_error(round_trip(dtype(), values), values);
    const double bound = heavy ? GetParam().heavy_tailed : GetParam().gaussian;
    EXPECT_LT(error, bound) << heavy;
    EXPECT_GT(error, 0.8 * bound) << heavy << ": the bound is no longer tight";
  }
}

TEST_P(Encode, KeepsTheErrorAtEveryMagnitudeThatScalesReach) {
  for (const int exponent : {-8, -4, 8, 12}) {
    const std::vector<float> values = gaussian(kMany, std::ldexp(1.0F, exponent));
    EXPECT_LT(relative_error(round_trip(dtype(), values), values), 1.01 * GetParam().gaussian) << exponent;
  }
}

TEST_P(Encode, IsFiniteAtEveryMagnitude) {
  for (int exponent = -149; exponent < 126; ++exponent) {
    const std::vector<float> values = gaussian(256, std::ldexp(1.0F, exponent));
    for (const float value : round_trip(dtype(), values)) ASSERT_TRUE(std::isfinite(value)) << exponent;
  }
}

TEST_P(Encode, NeverErrsByMoreThanTheValuesWhereScalesAreSubnormal) {
  // The scale and minimum of these round apart below 2^-20, as in the gguf package, which the goldens follow.
  const bool apart = dtype() == DType::q4_1 || dtype() == DType::q5_1;
  for (int exponent = apart ? -20 : -40; exponent < -10; ++exponent) {
    const std::vector<float> values = gaussian(kMany, std::ldexp(1.0F, exponent));
    EXPECT_LE(relative_error(round_trip(dtype(), values), values), 1.001) << exponent;
  }
}

TEST_P(Encode, KeepsZerosZero) {
  for (const float value : round_trip(dtype(), std::vector<float>(512, 0.0F))) EXPECT_EQ(value, 0.0F);
}

TEST_P(Encode, KeepsConstants) {
  for (const float constant : {1.0F, -1.0F, 0.3F, -5.0F, 1000.0F, -0.02F}) {
    if (dtype() == DType::mxfp4 && std::fabs(constant) != 1) continue;  // E2M1 has no 0.3
    for (const float value : round_trip(dtype(), std::vector<float>(256, constant)))
      EXPECT_NEAR(value, constant, std::fabs(constant) / 500) << constant;
  }
}

TEST_P(Encode, TakesNanAsZeroAndInfinityAsTheLargest) {
  std::vector<float> values = gaussian(512);
  std::vector<float> plain = values;
  values[3] = kNan, plain[3] = 0;
  values[300] = kInfinity, plain[300] = std::numeric_limits<float>::max();
  values[500] = -kInfinity, plain[500] = -std::numeric_limits<float>::max();
  EXPECT_EQ(encoded(dtype(), values), encoded(dtype(), plain));
  for (const float value : round_trip(dtype(), values)) EXPECT_TRUE(std::isfinite(value));
  EXPECT_GT(round_trip(dtype(), values)[300], 50000.0F);
}

TEST_P(Encode, KeepsAnOutlierAndTheGroupsBesideIt) {
  std::vector<float> values = gaussian(256);
  values[40] = 100;
  const std::vector<float> found = round_trip(dtype(), values);
  EXPECT_NEAR(found[40], 100, dtype() == DType::mxfp4 ? 5 : 1);
  double error = 0;
  for (size_t i = 64; i < 256; ++i) error += std::pow(found[i] - values[i], 2) / 192;
  EXPECT_LT(std::sqrt(error), 0.6);  // a tenth of 100's own step of 4 bits; below the values' own 1
}

TEST_P(Encode, ReproducesItsOwnValues) {
  const std::vector<float> once = round_trip(dtype(), gaussian(kMany));
  const std::vector<float> twice = round_trip(dtype(), once);
  if (dtype() == DType::q4_k || dtype() == DType::q6_k) {  // the search may settle on another grid
    EXPECT_LT(relative_error(twice, once), 0.25 * GetParam().gaussian);
  } else {
    EXPECT_EQ(once, twice);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, Encode,
    testing::Values(Format{DType::q8_0, 0.0055, 0.0071}, Format{DType::q4_0, 0.088, 0.114},
                    Format{DType::q4_1, 0.0805, 0.0945}, Format{DType::q5_0, 0.0437, 0.0577},
                    Format{DType::q5_1, 0.039, 0.0458}, Format{DType::q4_k, 0.0712, 0.085},
                    Format{DType::q6_k, 0.0172, 0.0217}, Format{DType::mxfp4, 0.1195, 0.1325}),
    [](const auto& test) { return std::string(to_string(test.param.dtype)); });

class EncodeGoldens : public testing::TestWithParam<DType> {};

TEST_P(EncodeGoldens, MatchBitForBit) {
  const Goldens goldens;
  const std::span<const std::byte> expected = goldens.bytes(std::string(to_string(GetParam())) + ".encoded");
  const std::vector<std::byte> found = encoded(GetParam(), goldens.floats("encode.values"));
  ASSERT_EQ(found.size(), expected.size());
  const auto block = static_cast<size_t>(block_of(GetParam()).bytes);
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(found[i], expected[i]) << "byte " << i % block << " of block " << i / block;
}

INSTANTIATE_TEST_SUITE_P(Formats, EncodeGoldens,
                         testing::Values(DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1,
                                         DType::mxfp4),
                         [](const auto& test) { return std::string(to_string(test.param)); });

/// What q4_k and q6_k are without a search: each group's range in equal steps, the scales rounded to the
/// nearest multiples.
std::vector<float> plainly_rounded(DType dtype, const std::vector<float>& values) {
  const bool has_min = dtype == DType::q4_k;
  const size_t group = has_min ? 32 : 16;
  const float multiples = has_min ? 63 : 127;
  std::vector<float> found;
  for (size_t block = 0; block < values.size(); block += 256) {
    std::vector<float> scales;
    std::vector<float> mins;
    for (size_t g = block; g < block + 256; g += group) {
      float least = 0;
      float most = 0;
      for (size_t i = g; i < g + group; ++i) {
        least = std::min(least, values[i]);
        most = std::max(most, values[i]);
      }
      scales.push_back(has_min ? (most - least) / 15 : std::max(-least, most) / 31);
      mins.push_back(has_min ? -least : 0);
    }
    const float scale_unit = *std::max_element(scales.begin(), scales.end()) / multiples;
    const float min_unit = *std::max_element(mins.begin(), mins.end()) / multiples;
    for (size_t i = 0; i < 256; ++i) {
      const float scale = scale_unit * std::round(scales[i / group] / scale_unit);
      const float min = has_min ? min_unit * std::round(mins[i / group] / min_unit) : 0;
      const float code = std::round((values[block + i] + min) / scale);
      found.push_back(scale * std::clamp(code, has_min ? 0.0F : -32.0F, has_min ? 15.0F : 31.0F) - min);
    }
  }
  return found;
}

TEST(EncodeK, ErrsClearlyLessThanRoundingTheRange) {
  for (const DType dtype : {DType::q4_k, DType::q6_k}) {
    for (const std::vector<float>& values : {gaussian(kMany), heavy_tailed(kMany)}) {
      const double plain = relative_error(plainly_rounded(dtype, values), values);
      EXPECT_LT(relative_error(round_trip(dtype, values), values), 0.915 * plain) << to_string(dtype);
    }
  }
}

TEST(EncodeK, ReachesAFarMinimumBesideASmallRange) {
  std::vector<float> values = gaussian(256, 0.01F);
  for (float& value : values) value -= 5;
  EXPECT_LT(relative_error(round_trip(DType::q4_k, values), values), 0.001);
}

}  // namespace
}  // namespace ingot::dtype
