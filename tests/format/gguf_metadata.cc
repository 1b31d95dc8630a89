#include "format/gguf_metadata.h"

#include <cmath>
#include <limits>

#include "fixtures.h"
#include "format/gguf.h"
#include "gguf_bytes.h"

namespace ingot::format {
namespace {

// Keeps the bytes alive that the metadata borrow.
struct Parsed {
  explicit Parsed(const GgufBytes& file)
      : bytes(file.bytes()), metadata(parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf").metadata) {}
  std::string bytes;
  GgufMetadata metadata;
};

void expect_invalid(const GgufBytes& file, const std::string& message) {
  expect_error(ErrorCode::invalid_file, message, [&] { Parsed parsed(file); });
}

TEST(GgufMetadata, IntegersOfEveryWidthServeAnIntegerGetter) {
  const Parsed file(GgufBytes()
                        .number("u8", uint8_t{200})
                        .number("i8", int8_t{-3})
                        .number("u16", uint16_t{60000})
                        .number("i16", int16_t{-300})
                        .number("u32", uint32_t{4000000000})
                        .number("i32", int32_t{-70000})
                        .number("u64", uint64_t{1} << 40)
                        .number("i64", -(int64_t{1} << 40)));
  const auto get = [&](std::string_view key) { return file.metadata.get_int(key, INT64_MIN, INT64_MAX); };
  EXPECT_EQ(get("u8"), 200);
  EXPECT_EQ(get("i8"), -3);
  EXPECT_EQ(get("u16"), 60000);
  EXPECT_EQ(get("i16"), -300);
  EXPECT_EQ(get("u32"), 4000000000);
  EXPECT_EQ(get("i32"), -70000);
  EXPECT_EQ(get("u64"), int64_t{1} << 40);
  EXPECT_EQ(get("i64"), -(int64_t{1} << 40));
}

TEST(GgufMetadata, IntegerOutsideItsRangeNamesFileKeyAndValue) {
  const Parsed file(GgufBytes().number("layers", uint32_t{5}).number("huge", UINT64_MAX));
  expect_error(ErrorCode::invalid_file,
               "m.gguf: key 'layers': expected an integer between 1 and 4, found 5 (u32)",
               [&] { file.metadata.get_int("layers", 1, 4); });
  expect_error(ErrorCode::invalid_file, "found 18446744073709551615 (u64)",
               [&] { file.metadata.get_int("huge", INT64_MIN, INT64_MAX); });
}

TEST(GgufMetadata, NumbersOfAnyTypeServeADoubleGetter) {
  const Parsed file(GgufBytes()
                        .number("f32", 0.5F)
                        .number("f64", 0.25)
                        .number("u32", uint32_t{7})
                        .number("nan", std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(file.metadata.get_double("f32", 0, 1), 0.5);
  EXPECT_EQ(file.metadata.get_double("f64", 0, 1), 0.25);
  EXPECT_EQ(file.metadata.get_double("u32", 0, 10), 7);
  EXPECT_EQ(file.metadata.get_double_or("absent", 3, 0, 1), 3);
  expect_error(ErrorCode::invalid_file, "key 'nan': expected a number between -1 and 1, found nan (f32)",
               [&] { file.metadata.get_double("nan", -1, 1); });
}

TEST(GgufMetadata, ScalarsOfAnotherTypeAreNamed) {
  const Parsed file(GgufBytes()
                        .boolean("flag", true)
                        .string("text", "seven")
                        .number("number", 1.5F)
                        .numbers<int32_t>("list", {1, 2}));
  EXPECT_TRUE(file.metadata.get_bool("flag"));
  EXPECT_EQ(file.metadata.get_string("text"), "seven");
  const auto wrong = [&](const std::string& message, auto getter) {
    expect_error(ErrorCode::invalid_file, "m.gguf: key " + message, getter);
  };
  wrong("'flag': expected an integer between 0 and 1, found true",
        [&] { file.metadata.get_int("flag", 0, 1); });
  wrong("'text': expected true or false, found \"seven\"", [&] { file.metadata.get_bool("text"); });
  wrong("'number': expected an integer between 0 and 9, found 1.5 (f32)",
        [&] { file.metadata.get_int("number", 0, 9); });
  wrong("'list': expected a string, found an array of 2 i32", [&] { file.metadata.get_string("list"); });
  wrong("'list': expected an array of strings, found an array of 2 i32",
        [&] { file.metadata.strings("list"); });
  wrong("'text': expected an array of strings, found \"seven\"", [&] { file.metadata.strings("text"); });
  wrong("'list': expected an array of f32 or f64, found an array of 2 i32",
        [&] { file.metadata.floats("list"); });
  wrong("'absent': expected a string, found no such key", [&] { file.metadata.get_string("absent"); });
}

TEST(GgufMetadata, ArraysAreReadInPlace) {
  const std::string zero("a\0b", 3);
  const Parsed file(
      GgufBytes()
          .strings("tokens", {"", zero, "\xFF"})
          .numbers<int32_t>("types", {1, -2})
          .numbers<uint8_t>("bytes", {255})
          .raw_entry("flags", 9, little_endian(7) + little_endian(uint64_t{2}) + "\1" + std::string(1, '\0'))
          .numbers<float>("scores", {-1.5F, 2}));
  const GgufStrings tokens = file.metadata.strings("tokens");
  ASSERT_EQ(tokens.size(), 3U);
  EXPECT_EQ(tokens[0], "");
  EXPECT_EQ(tokens[1], zero);
  EXPECT_EQ(tokens[2], "\xFF");
  EXPECT_GE(tokens[1].data(), file.bytes.data());
  EXPECT_LT(tokens[1].data(), file.bytes.data() + file.bytes.size());
  EXPECT_EQ(file.metadata.ints("types"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(file.metadata.ints("bytes"), (std::vector<int64_t>{255}));
  EXPECT_EQ(file.metadata.ints("flags"), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(file.metadata.floats("scores"), (std::vector<float>{-1.5F, 2}));
  EXPECT_TRUE(file.metadata.strings("absent").empty());
  EXPECT_TRUE(file.metadata.ints("absent").empty());
}

TEST(GgufMetadata, KeysComeInTheOrderOfTheFile) {
  const Parsed file(GgufBytes().number("z", 1).boolean("a", false).string("m", ""));
  EXPECT_THAT(file.metadata.keys(), testing::ElementsAre("z", "a", "m"));
  EXPECT_TRUE(file.metadata.has("a"));
  EXPECT_FALSE(file.metadata.has("b"));
}

TEST(GgufMetadata, ValueIsAtHandAsTheFileEncodesIt) {
  const Parsed file(GgufBytes().numbers<uint16_t>("list", {1, 2}));
  EXPECT_EQ(file.metadata.encoded("list").size(), 4U + 4 + 8 + 2 * 2);
  const GgufMetadata::ValueType type = file.metadata.type("list");
  EXPECT_EQ(type.type, GgufType::u16);
  EXPECT_TRUE(type.is_array);
  EXPECT_EQ(type.count, 2U);
}

TEST(GgufMetadata, BrokenEntriesAreRefused) {
  expect_invalid(GgufBytes().number("a", 1).number("a", 2), "gguf: m.gguf: key 'a' stands twice");
  expect_invalid(GgufBytes().raw_entry("a", 13, ""), "key 'a': expected a type between 0 and 12, found 13");
  expect_invalid(GgufBytes().number("", 1), "expected metadata keys of 1 to 65535 bytes, found one of 0");
  expect_invalid(GgufBytes().number(std::string(65536, 'k'), 1), "found one of 65536");
  expect_invalid(GgufBytes().raw_entry("flag", 7, "\2"), "key 'flag': expected a bool of 0 or 1, found 2");
  expect_invalid(GgufBytes().raw_entry("flags", 9, little_endian(7) + little_endian(uint64_t{2}) + "\1\3"),
                 "key 'flags': expected a bool of 0 or 1, found 3");
  expect_error(ErrorCode::unsupported, "key 'a': arrays of arrays are not supported", [] {
    Parsed parsed(GgufBytes().raw_entry("a", 9, little_endian(9) + little_endian(uint64_t{0})));
  });
}

TEST(GgufMetadata, CountsAndLengthsBeyondTheFileAreRefused) {
  GgufBytes many;
  many.entry_count = UINT64_MAX;
  expect_invalid(many, "the header counts 18446744073709551615 metadata entries, the file has room for");
  for (const uint64_t length : {uint64_t{1} << 63, UINT64_MAX, uint64_t{1000}}) {
    expect_invalid(GgufBytes().raw_entry("s", 8, little_endian(length)), "the value of key 's'");
    expect_invalid(GgufBytes().raw_entry("l", 9, little_endian(4) + little_endian(length)),
                   "key 'l': an array of " + std::to_string(length) + " u32 does not fit");
    expect_invalid(GgufBytes().raw_entry("l", 9, little_endian(8) + little_endian(length)),
                   "key 'l': an array of " + std::to_string(length) + " strings does not fit");
  }
}

TEST(GgufMetadata, EveryTruncationIsRefused) {
  const std::string whole = GgufBytes()
                                .string("general.architecture", "llama")
                                .strings("tokens", {"a", "b"})
                                .number("n", uint64_t{7})
                                .bytes();
  // The last entry ends before the padding.
  const size_t end = 24 + (8 + 20 + 4 + 8 + 5) + (8 + 6 + 4 + 4 + 8 + 18) + (8 + 1 + 4 + 8);
  for (size_t size = 0; size < end; ++size) {
    const std::string cut = whole.substr(0, size);
    EXPECT_THROW(parse_gguf(std::as_bytes(std::span(cut)), "m.gguf"), Error) << size << " bytes";
  }
  const std::string exact = whole.substr(0, end);
  EXPECT_EQ(parse_gguf(std::as_bytes(std::span(exact)), "m.gguf").metadata.get_int("n", 0, 9), 7);
}

}  // namespace
}  // namespace ingot::format
