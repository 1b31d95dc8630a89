#include "format/safetensors.h"

#include "format/fixtures.h"

namespace ingot::format {
namespace {

Safetensors parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "m.safetensors");
}

void expect_invalid(const std::string& bytes, const std::string& message) {
  expect_error(ErrorCode::invalid_file, message, [&] { parse(bytes); });
}

// A file of one tensor 'w' with this dtype, shape and offsets.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                size_t data_bytes) {
  return safetensors_bytes(
      R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      data_bytes);
}

TEST(Safetensors, TensorsComeInTheOrderOfTheirBytesWithMetadata) {
  const std::string bytes = safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
      R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}  )",
      30);
  const Safetensors file = parse(bytes);
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.metadata.at("format"), "pt");
  const Tensor& b = file.tensors[0];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.dtype, DType::f32);
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.elements(), 6);
  ASSERT_EQ(b.bytes.size(), 24U);
  EXPECT_EQ(std::to_integer<int>(b.bytes[5]), 5);
  const Tensor& a = file.tensors[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::bf16);
  EXPECT_EQ(reinterpret_cast<const char*>(a.bytes.data() + a.bytes.size()), bytes.data() + bytes.size());
}

TEST(Safetensors, EveryElementTypeOfTheEngineIsRead) {
  const std::pair<const char*, DType> types[] = {
      {"F64", DType::f64}, {"F32", DType::f32},     {"F16", DType::f16}, {"BF16", DType::bf16},
      {"I64", DType::i64}, {"I32", DType::i32},     {"I16", DType::i16}, {"I8", DType::i8},
      {"U8", DType::u8},   {"BOOL", DType::boolean}};
  for (const auto& [name, dtype] : types) {
    const size_t size = dtype_bytes(dtype);
    const Safetensors file =
        parse(one('"' + std::string(name) + '"', "[1]", "[0," + std::to_string(size) + "]", size));
    EXPECT_EQ(file.tensors.at(0).dtype, dtype) << name;
  }
}

TEST(Safetensors, ScalarHasOneElementAndEmptyTensorNone) {
  EXPECT_EQ(parse(one(R"("F32")", "[]", "[0,4]", 4)).tensors.at(0).elements(), 1);
  EXPECT_EQ(parse(one(R"("F32")", "[0,7]", "[0,0]", 0)).tensors.at(0).elements(), 0);
}

TEST(Safetensors, FileWithoutTensorsIsEmpty) {
  EXPECT_TRUE(parse(safetensors_bytes("{}", 0)).tensors.empty());
}

TEST(Safetensors, FileTooShortForTheLengthIsNamed) {
  expect_invalid(
      "1234567",
      "safetensors: m.safetensors: expected at least 8 bytes for the header's length, the file has 7");
  expect_invalid("", "the file has 0");
}

TEST(Safetensors, TruncatedHeaderIsNamedWithBothSizes) {
  expect_invalid(safetensors_bytes("{}", 0, 100),
                 "safetensors: m.safetensors: the header ends at byte 108, the file has 10");
}

TEST(Safetensors, OversizedHeaderIsNamedWithTheLimit) {
  expect_invalid(safetensors_bytes("{}", 0, 100'000'001),
                 "header of at most 100000000 bytes, found a length of 100000001");
  expect_invalid(safetensors_bytes("{}", 0, ~uint64_t{1}), "found a length of 18446744073709551614");
}

TEST(Safetensors, HeaderThatIsNotAnObjectIsAnError) {
  expect_invalid(safetensors_bytes("", 0), "expected a header that begins with '{'");
  expect_invalid(safetensors_bytes("[1]", 0), "expected a header that begins with '{'");
  expect_invalid(safetensors_bytes(R"({"w":)", 0), "safetensors: m.safetensors: header: not valid JSON");
  expect_invalid(safetensors_bytes("{}x", 0), "not valid JSON");
}

TEST(Safetensors, HeaderNestedAHundredThousandDeepIsAnErrorNotACrash) {
  std::string header = R"({"w":)";
  header.append(100'000, '[');
  expect_invalid(safetensors_bytes(header, 0), "nested deeper than 64 levels");
}

TEST(Safetensors, LongGarbageIsCutInTheMessage) {
  try {
    parse(safetensors_bytes("{\"" + std::string(1 << 20, 'x'), 0));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 400U);
  }
}

TEST(Safetensors, NamesAreCutAndWithoutControlCharactersInMessages) {
  const auto message_of = [](const std::string& name) -> std::string {
    try {
      parse(safetensors_bytes("{\"" + name + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", 1));
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message_of(R"(a\u001b[31mb\n)"), testing::HasSubstr("tensor 'a?[31mb?': expected 2 bytes"));
  const std::string long_name = message_of(std::string(1 << 20, 'x'));
  EXPECT_THAT(long_name, testing::HasSubstr("xxx…': expected 2 bytes"));
  EXPECT_LT(long_name.size(), 400U);
}

TEST(Safetensors, DuplicateTensorIsNamed) {
  expect_invalid(safetensors_bytes(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                   R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                   2),
                 "header: JSON object repeats the key 'w'");
}

TEST(Safetensors, WrongTypesAreNamedWithTheTensor) {
  expect_invalid(safetensors_bytes(R"({"w":3})", 0), "tensor 'w': expected an object, found number");
  expect_invalid(safetensors_bytes(R"({"w":{"shape":[],"data_offsets":[0,0]}})", 0),
                 "tensor 'w' has no dtype");
  expect_invalid(safetensors_bytes(R"({"w":{"dtype":"U8","data_offsets":[0,0]}})", 0),
                 "tensor 'w' has no shape");
  expect_invalid(safetensors_bytes(R"({"w":{"dtype":"U8","shape":[1]}})", 1),
                 "tensor 'w' has no data_offsets");
  expect_invalid(one("8", "[1]", "[0,1]", 1), "tensor 'w': expected a string as dtype, found number");
  expect_invalid(one(R"("U8")", "1", "[0,1]", 1), "tensor 'w': expected a list as shape, found number");
  expect_invalid(one(R"("U8")", R"(["1"])", "[0,1]", 1),
                 R"(expected integers in [0, 2^63) in shape, found "1")");
  expect_invalid(one(R"("U8")", "[1.0]", "[0,1]", 1), "in shape, found 1.0");
  expect_invalid(one(R"("U8")", "[1]", "[0]", 1), "tensor 'w': expected two data_offsets, found [0]");
  expect_invalid(one(R"("U8")", "[1]", "[0,1,2]", 1), "expected two data_offsets, found [0,1,2]");
  expect_invalid(one(R"("U8")", "[1]", "[0,true]", 1), "in data_offsets, found true");
  expect_invalid(safetensors_bytes(R"({"__metadata__":[]})", 0),
                 "__metadata__: expected an object, found array");
  expect_invalid(safetensors_bytes(R"({"__metadata__":{"a":1}})", 0),
                 "__metadata__: expected a string for 'a', found number");
}

TEST(Safetensors, UnknownDTypeListsTheSupported) {
  expect_invalid(
      one(R"("F33")", "[1]", "[0,4]", 4),
      R"(tensor 'w' has the unknown dtype "F33"; supported: F32, F16, BF16, F64, I64, I32, I16, I8, U8, BOOL)");
}

TEST(Safetensors, DTypeOfTheFormatThatIngotLacksIsUnsupported) {
  expect_error(ErrorCode::unsupported, R"(tensor 'w' has the unsupported dtype "F8_E4M3"; supported: F32)",
               [] { parse(one(R"("F8_E4M3")", "[4]", "[0,4]", 4)); });
}

TEST(Safetensors, NegativeAndOverflowingShapesAreErrors) {
  expect_invalid(one(R"("F32")", "[-1]", "[0,4]", 4), "expected integers in [0, 2^63) in shape, found -1");
  expect_invalid(one(R"("F32")", "[9223372036854775808]", "[0,4]", 4), "in shape, found 9223372036854775808");
  expect_invalid(one(R"("F32")", "[99999999999999999999]", "[0,4]", 4), "in shape, found 1e+20");
  expect_invalid(one(R"("F32")", "[4294967296,2147483648]", "[0,4]", 4),
                 "tensor 'w': shape [4294967296,2147483648] overflows 2^63 bytes");
  expect_invalid(one(R"("F32")", "[4611686018427387905]", "[0,4]", 4), "overflows 2^63 bytes");
}

TEST(Safetensors, OffsetsOutsideTheFileAreNamedWithTheFilesSize) {
  const std::string bytes = one(R"("F32")", "[1000]", "[0,4000]", 100);
  expect_invalid(bytes, "safetensors: m.safetensors: tensor 'w' ends at byte " +
                            std::to_string(bytes.size() - 100 + 4000) + ", the file has " +
                            std::to_string(bytes.size()));
  expect_invalid(one(R"("F32")", "[1]", "[9223372036854775803,9223372036854775807]", 4),
                 "ends at byte 922337203685477");
  expect_invalid(one(R"("F32")", "[1]", "[-4,0]", 4), "in data_offsets, found -4");
}

TEST(Safetensors, BeginAfterEndIsAnError) {
  expect_invalid(one(R"("F32")", "[1]", "[4,0]", 4),
                 "tensor 'w' begins at byte 4 of the data and ends before it, at 0");
}

TEST(Safetensors, BytesThatDoNotMatchShapeTimesDTypeAreNamed) {
  expect_invalid(one(R"("F32")", "[2,3]", "[0,20]", 20),
                 "tensor 'w': expected 24 bytes for shape [2,3] of f32, found 20");
}

TEST(Safetensors, OverlappingTensorsAreBothNamed) {
  expect_invalid(safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                   R"("b":{"dtype":"U8","shape":[3],"data_offsets":[3,6]}})",
                                   6),
                 "tensor 'b' begins at byte");
  expect_invalid(safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                   R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                                   4),
                 "inside tensor 'a', which ends at");
}

TEST(Safetensors, HolesBetweenAndAfterTensorsAreErrors) {
  expect_invalid(safetensors_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                                   6),
                 "no tensor covers the bytes");
  expect_invalid(one(R"("U8")", "[2]", "[1,3]", 3), "before tensor 'w'");
  expect_invalid(one(R"("U8")", "[2]", "[0,2]", 5), "the last tensor ends at byte");
  expect_invalid(safetensors_bytes("{}", 1), "the last tensor ends at byte 10, the file has 11");
}

TEST(Safetensors, MisalignedTensorIsReadAndSaysSo) {
  // The header's length decides where the data begins.
  for (size_t padding = 0; padding < 5; ++padding) {
    const std::string bytes = safetensors_bytes(
        R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})" + std::string(padding, ' '), 4);
    const Safetensors file = parse(bytes);
    const auto address = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size() - 4;
    EXPECT_EQ(file.tensors.at(0).is_aligned(), address % 4 == 0);
  }
}

TEST(Safetensors, EveryTruncationOfAFileIsAnError) {
  const std::string bytes = safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]}})",
      12);
  ASSERT_EQ(parse(bytes).tensors.size(), 2U);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(parse(bytes.substr(0, size)), Error) << size;
  }
}

}  // namespace
}  // namespace ingot::format
