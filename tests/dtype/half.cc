// f16 and bf16: every bit pattern, and every rounding between two neighbours, against the formulas of IEEE
// 754.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "dtype/formats.h"

namespace ingot::dtype {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The value of a binary format with these field widths, from its definition: sign, 2^(exponent - bias),
/// fraction.
double defined_value(uint32_t bits, int exponent_bits, int fraction_bits) {
  const double sign = (bits >> (exponent_bits + fraction_bits)) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(static_cast<double>(bits & ((1U << fraction_bits) - 1)), -fraction_bits);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction == 0 ? sign * static_cast<double>(kInfinity) : std::nan("");
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias);
  return sign * std::ldexp(1 + fraction, exponent - bias);
}

struct F16Format {
  using Type = F16;
  static constexpr int kExponent = 5;
  static constexpr int kFraction = 10;
  static Type encode(float value) { return encode_f16(value); }
};
struct Bf16Format {
  using Type = Bf16;
  static constexpr int kExponent = 8;
  static constexpr int kFraction = 7;
  static Type encode(float value) { return encode_bf16(value); }
};

template <class Format>
class Half : public testing::Test {
 protected:
  static float value(uint32_t bits) { return decode(typename Format::Type{static_cast<uint16_t>(bits)}); }
  static uint32_t code(float value) { return Format::encode(value).bits; }
  static constexpr uint32_t kInfinityBits = ((1U << Format::kExponent) - 1) << Format::kFraction;
};
using Formats = testing::Types<F16Format, Bf16Format>;
TYPED_TEST_SUITE(Half, Formats);

TYPED_TEST(Half, EveryPatternDecodesAsDefined) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected = defined_value(bits, TypeParam::kExponent, TypeParam::kFraction);
    const double found = this->value(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(found)) << bits;
    } else {
      ASSERT_EQ(found, expected) << bits;
      ASSERT_EQ(std::signbit(found), std::signbit(expected)) << bits;
    }
  }
}

TYPED_TEST(Half, EveryPatternSurvivesDecodingAndEncoding) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = this->value(bits);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(this->value(this->code(value)))) << bits;
    } else {
      ASSERT_EQ(this->code(value), bits);
    }
  }
}

TYPED_TEST(Half, BetweenTwoNeighboursTheNearerOneIsTakenAndOnATieTheEvenOne) {
  // The last step ends at infinity, whose place in the sequence is that of the next power of two.
  for (uint32_t bits = 0; bits < this->kInfinityBits; ++bits) {
    const double low = this->value(bits);
    const double step =
        low - (bits == 0 ? -static_cast<double>(this->value(1)) : static_cast<double>(this->value(bits - 1)));
    const double high =
        bits + 1 == this->kInfinityBits ? low + step : static_cast<double>(this->value(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact: f32 has more bits than either format
    ASSERT_EQ(middle, (low + high) / 2);
    ASSERT_EQ(this->code(middle), bits % 2 == 0 ? bits : bits + 1) << low;
    ASSERT_EQ(this->code(std::nextafter(middle, 0.0F)), bits) << low;
    ASSERT_EQ(this->code(std::nextafter(middle, kInfinity)), bits + 1) << low;
    ASSERT_EQ(this->code(-middle), 0x8000U | (bits % 2 == 0 ? bits : bits + 1)) << low;
  }
}

TYPED_TEST(Half, NanStaysNanWithItsSignWhateverItsPayload) {
  for (uint32_t payload : {1U, 2U, 0x1fffU, 0x2000U, 0xffffU, 0x10000U, 0x3fffffU, 0x400000U, 0x7fffffU}) {
    for (uint32_t sign : {0U, 0x80000000U}) {
      const float nan = __builtin_bit_cast(float, sign | 0x7f800000U | payload);
      const uint32_t bits = this->code(nan);
      EXPECT_TRUE(std::isnan(this->value(bits))) << payload;
      EXPECT_EQ(bits >> 15, sign >> 31) << payload;
    }
  }
}

TEST(F16Values, KnownOnes) {
  EXPECT_EQ(encode_f16(1.0F).bits, 0x3c00);
  EXPECT_EQ(encode_f16(-2.0F).bits, 0xc000);
  EXPECT_EQ(encode_f16(65504.0F).bits, 0x7bff);
  EXPECT_EQ(encode_f16(65519.996F).bits, 0x7bff);
  EXPECT_EQ(encode_f16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(encode_f16(1e30F).bits, 0x7c00);
  EXPECT_EQ(encode_f16(0.333251953125F).bits, 0x3555);
  EXPECT_EQ(encode_f16(0x1p-24F).bits, 0x0001);
  EXPECT_EQ(encode_f16(0x1p-25F).bits, 0x0000);
  EXPECT_EQ(encode_f16(1e-40F).bits, 0x0000);
  EXPECT_EQ(encode_f16(-0.0F).bits, 0x8000);
}

TEST(Bf16Values, KnownOnes) {
  EXPECT_EQ(encode_bf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(encode_bf16(3.14159265F).bits, 0x4049);
  EXPECT_EQ(encode_bf16(3.3895314e38F).bits, 0x7f7f);
  EXPECT_EQ(encode_bf16(3.4e38F).bits, 0x7f80);
  EXPECT_EQ(encode_bf16(-0.0F).bits, 0x8000);
}

}  // namespace
}  // namespace ingot::dtype
