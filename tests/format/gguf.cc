#include "format/gguf.h"

#include "fixtures.h"
#include "gguf_bytes.h"

namespace ingot::format {
namespace {

constexpr uint32_t kF32 = 0;
constexpr uint32_t kF16 = 1;
constexpr uint32_t kQ8_0 = 8;
constexpr uint32_t kQ4_K = 12;

const std::string kFour(4 * sizeof(float), '\1');

Gguf parse(const std::string& bytes) {
  return parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf");
}

void expect_refused(ErrorCode code, const std::string& bytes, const std::string& message) {
  expect_error(code, "gguf: m.gguf: " + message, [&] { parse(bytes); });
}
void expect_invalid(const GgufBytes& file, const std::string& message) {
  expect_refused(ErrorCode::invalid_file, file.bytes(), message);
}

TEST(Gguf, TensorsLieWhereTheFileSays) {
  GgufBytes file;
  file.tensor("a", {2, 2}, kF32, std::string(16, 'a')).tensor("b", {3}, kF16, std::string(6, 'b'));
  const std::string bytes = file.bytes();
  const Gguf gguf = parse(bytes);
  EXPECT_EQ(gguf.version, 3U);
  EXPECT_EQ(gguf.data_begin, file.header().size());
  ASSERT_EQ(gguf.tensors.size(), 2U);
  EXPECT_EQ(gguf.tensors[0].name, "a");
  EXPECT_EQ(gguf.tensors[0].dtype, DType::f32);
  EXPECT_EQ(gguf.tensors[0].bytes.size(), 16U);
  EXPECT_EQ(gguf.tensors[0].bytes.data(), reinterpret_cast<const std::byte*>(bytes.data()) + gguf.data_begin);
  EXPECT_EQ(gguf.tensors[1].bytes.data() - gguf.tensors[0].bytes.data(), 32);
  EXPECT_EQ(static_cast<char>(gguf.tensors[1].bytes[5]), 'b');
}

TEST(Gguf, ShapesAreTurnedOutermostFirst) {
  const std::string bytes = GgufBytes().tensor("a", {4, 3, 2}, kF32, std::string(96, 0)).bytes();
  EXPECT_EQ(parse(bytes).tensors[0].shape, (std::vector<int64_t>{2, 3, 4}));
}

TEST(Gguf, BlockFormatsAreCountedInBlocks) {
  const std::string bytes = GgufBytes()
                                .tensor("q8", {64, 3}, kQ8_0, std::string(6 * 34, 0))
                                .tensor("q4", {256, 2}, kQ4_K, std::string(2 * 144, 0))
                                .bytes();
  const Gguf gguf = parse(bytes);
  EXPECT_EQ(gguf.tensors[0].dtype, DType::q8_0);
  EXPECT_EQ(gguf.tensors[0].bytes.size(), 6U * 34);
  EXPECT_EQ(gguf.tensors[0].elements(), 192);
  EXPECT_EQ(gguf.tensors[1].dtype, DType::q4_k);
  EXPECT_EQ(gguf.tensors[1].bytes.size(), 2U * 144);
}

TEST(Gguf, EveryStorageTypeOfTheFormatHasItsId) {
  // As the gguf package numbers them.
  const std::vector<std::pair<uint32_t, DType>> ids = {
      {0, DType::f32},   {1, DType::f16},   {2, DType::q4_0},    {3, DType::q4_1},    {6, DType::q5_0},
      {7, DType::q5_1},  {8, DType::q8_0},  {10, DType::q2_k},   {11, DType::q3_k},   {12, DType::q4_k},
      {13, DType::q5_k}, {14, DType::q6_k}, {20, DType::iq4_nl}, {23, DType::iq4_xs}, {24, DType::i8},
      {25, DType::i16},  {26, DType::i32},  {27, DType::i64},    {28, DType::f64},    {30, DType::bf16},
      {39, DType::mxfp4}};
  for (const auto& [id, dtype] : ids) {
    EXPECT_EQ(gguf_type_id(dtype), id) << to_string(dtype);
    const std::string row(static_cast<size_t>(dtype_bytes(dtype, 256)), 0);
    const std::string bytes = GgufBytes().tensor("t", {256}, id, row).bytes();
    EXPECT_EQ(parse(bytes).tensors[0].dtype, dtype);
  }
  EXPECT_EQ(gguf_type_id(DType::u8), std::nullopt);
  EXPECT_EQ(gguf_type_id(DType::boolean), std::nullopt);
  EXPECT_EQ(gguf_type_id(DType::f8_e4m3), std::nullopt);
}

TEST(Gguf, TypesWithoutStorageAreNamed) {
  expect_refused(ErrorCode::unsupported, GgufBytes().tensor("t", {256}, 19, "").bytes(),
                 "tensor 't' has type 19 (iq1_s), which is not supported");
  expect_refused(ErrorCode::unsupported, GgufBytes().tensor("t", {256}, 4, "").bytes(),
                 "tensor 't' has type 4 (unknown), which is not supported");
}

TEST(Gguf, VersionTwoIsReadLikeThree) {
  GgufBytes file;
  file.version = 2;
  file.tensor("a", {4}, kF32, kFour);
  const std::string bytes = file.bytes();
  EXPECT_EQ(parse(bytes).version, 2U);
  EXPECT_EQ(parse(bytes).tensors.size(), 1U);
}

TEST(Gguf, OtherVersionsAndByteOrdersAreUnsupported) {
  for (const uint32_t version : {0U, 1U, 4U}) {
    GgufBytes file;
    file.version = version;
    expect_refused(ErrorCode::unsupported, file.bytes(),
                   "version " + std::to_string(version) + " is not supported; supported are 2 and 3");
  }
  GgufBytes big;
  big.version = 0x03000000;
  expect_refused(ErrorCode::unsupported, big.bytes(), "a big-endian file");
}

TEST(Gguf, OtherMagicIsNamed) {
  expect_refused(ErrorCode::invalid_file, "GGML\3", "expected the magic 'GGUF', found 'GGML'");
  expect_refused(ErrorCode::invalid_file, "", "the magic of 4 bytes at byte 0 does not fit, the file has 0");
}

TEST(Gguf, AlignmentOfTheMetadataCounts) {
  GgufBytes file;
  file.alignment = 128;
  file.number("general.alignment", uint32_t{128}).tensor("a", {4}, kF32, kFour).tensor("b", {4}, kF32, kFour);
  const std::string bytes = file.bytes();
  const Gguf gguf = parse(bytes);
  EXPECT_EQ(gguf.data_begin % 128, 0U);
  EXPECT_EQ(gguf.tensors[1].bytes.data() - gguf.tensors[0].bytes.data(), 128);
}

TEST(Gguf, AlignmentThatIsNoneIsRefused) {
  for (const uint32_t alignment : {0U, 4U, 48U, 1U << 21}) {
    expect_error(ErrorCode::invalid_file, "m.gguf: key 'general.alignment': expected", [&] {
      parse(GgufBytes().number("general.alignment", alignment).tensor("a", {4}, kF32, kFour).bytes());
    });
  }
}

TEST(Gguf, OffsetsOutsideTheFileOrItsAlignmentAreRefused) {
  const auto at = [](uint64_t offset) { return GgufBytes().tensor("a", {4}, kF32, kFour, offset); };
  expect_invalid(at(4), "tensor 'a' begins at byte 4 of the data, expected a multiple of 32");
  expect_invalid(at(32), "tensor 'a' takes 16 bytes at byte 32 of the data, which has 16");
  expect_invalid(at(UINT64_MAX - 31), "tensor 'a' takes 16 bytes at byte 18446744073709551584 of the data");
  const std::string whole = at(0).bytes();
  expect_refused(ErrorCode::invalid_file, whole.substr(0, whole.size() - 1),
                 "tensor 'a' takes 16 bytes at byte 0 of the data, which has 15");
}

TEST(Gguf, OverlapIsRefused) {
  expect_invalid(GgufBytes().tensor("a", {64}, kF32, std::string(256, 0)).tensor("b", {4}, kF32, kFour, 32),
                 "tensor 'b' begins at byte ");
  expect_invalid(GgufBytes().tensor("a", {4}, kF32, kFour).tensor("b", {4}, kF32, kFour, 0),
                 "tensor 'b' begins at byte 96, inside tensor 'a', which ends at 112");
}

TEST(Gguf, ShapesThatCannotBeAreRefused) {
  expect_invalid(GgufBytes().tensor("a", {}, kF32, ""), "tensor 'a': expected 1 to 4 dimensions, found 0");
  expect_invalid(GgufBytes().tensor("a", {1, 1, 1, 1, 1}, kF32, kFour),
                 "tensor 'a': expected 1 to 4 dimensions, found 5");
  expect_invalid(GgufBytes().tensor("a", {4, 0}, kF32, ""),
                 "tensor 'a': expected dimensions in [1, 2^63), found 0");
  expect_invalid(GgufBytes().tensor("a", {UINT64_MAX}, kF32, ""),
                 "tensor 'a': expected dimensions in [1, 2^63), found 18446744073709551615");
  const uint64_t half = uint64_t{1} << 32;
  expect_invalid(GgufBytes().tensor("a", {half, half}, kF32, ""),
                 "tensor 'a': its shape overflows 2^63 bytes");
  expect_invalid(GgufBytes().tensor("a", {half, half / 4}, kF32, ""),
                 "tensor 'a': its shape overflows 2^63 bytes");
  expect_invalid(GgufBytes().tensor("a", {48, 2}, kQ8_0, std::string(102, 0)),
                 "tensor 'a': expected rows of a multiple of 32 elements for q8_0, found 48");
}

TEST(Gguf, NamesMustDifferAndBeThere) {
  expect_invalid(GgufBytes().tensor("a", {4}, kF32, kFour).tensor("a", {4}, kF32, kFour),
                 "tensor 'a' stands twice in the file");
  expect_invalid(GgufBytes().tensor("", {4}, kF32, kFour),
                 "expected tensor names of 1 to 65535 bytes, found one of 0");
}

TEST(Gguf, TensorCountBeyondTheFileIsRefused) {
  GgufBytes file;
  file.tensor_count = UINT64_MAX;
  expect_invalid(file, "the header counts 18446744073709551615 tensors, the file has room for");
}

TEST(Gguf, FileWithoutTensorsNeedsNoPadding) {
  const std::string bytes = GgufBytes().number("n", 1).bytes().substr(0, 24 + 8 + 1 + 4 + 4);
  EXPECT_TRUE(parse(bytes).tensors.empty());
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string whole =
      GgufBytes().string("k", "v").tensor("a", {4, 2}, kF32, std::string(32, 0)).bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    EXPECT_THROW(parse(cut), Error) << size << " bytes";
  }
}

TEST(Gguf, NamesFromTheFileAreMadeFitToPrint) {
  expect_invalid(GgufBytes().tensor("a\x1B[2J", {0}, kF32, ""), "tensor 'a?[2J'");
}

}  // namespace
}  // namespace ingot::format
