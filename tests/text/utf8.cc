#include "text/utf8.h"

#include <gtest/gtest.h>

namespace ingot::text {
namespace {

TEST(Utf8, EachMaximalIllFormedPartBecomesOneReplacement) {
  // The example of the Unicode Standard, table 3-8 and its neighbours.
  EXPECT_EQ(replace_invalid_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                                 "b\x80"
                                 "c\x80\xBF"
                                 "d"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // surrogate
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
  EXPECT_EQ(replace_invalid_utf8("\xE4\xBD"), "\uFFFD");                            // cut off
}

TEST(Utf8, ValidTextStaysAsItIs) {
  const std::string text = "plain, é, 你, \U0001F600, \uFFFD";
  EXPECT_EQ(valid_utf8_prefix(text), text.size());
  EXPECT_EQ(replace_invalid_utf8(text), text);
}

TEST(Utf8, EveryCodePointSurvivesARoundTrip) {
  for (char32_t value = 0; value < 0x110000; ++value) {
    if (value >= 0xD800 && value < 0xE000) continue;
    std::string text;
    append_utf8(text, value);
    ASSERT_EQ(valid_utf8_prefix(text), text.size());
    ASSERT_EQ(decode_utf8(text.data()).value, value);
    ASSERT_EQ(decode_utf8_before(text, text.size()).bytes, text.size());
  }
}

}  // namespace
}  // namespace ingot::text
