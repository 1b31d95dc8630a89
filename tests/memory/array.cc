#include "ingot/array.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include "base/mapped_file.h"
#include "ingot/error.h"

namespace ingot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Expects Error{invalid_argument} with `text` in its message.
template <typename F>
void expect_refused(F&& f, const char* text) {
  try {
    f();
    ADD_FAILURE() << "no throw, expected: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

TEST(Shape, CountsElements) {
  EXPECT_EQ(Shape({2, 3, 4}).elements(), 24);
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape({3, 0, 5}).elements(), 0);
  EXPECT_EQ(Shape().rank(), 0);
  EXPECT_EQ(to_string(Shape({2, 3})), "[2, 3]");
  EXPECT_EQ(to_string(Shape()), "[]");
}

TEST(Shape, IndexesFromBothEnds) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 4);
  expect_refused([&] { (void)shape[3]; }, "[2, 3, 4] has no dimension 3");
  expect_refused([&] { (void)shape[-4]; }, "no dimension -4");
}

TEST(Shape, EqualWhenRankAndLengthsAre) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2}), Shape({2, 1}));
}

TEST(Shape, BadLengthsAreNamed) {
  expect_refused([] { Shape({1, 1, 1, 1, 1, 1}); }, "at most 5 dimensions, found 6");
  expect_refused([] { Shape({4, -1}); }, "found -1");
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  expect_refused([] { Shape({kHuge, 2}); }, "more elements than 64 bits count");
  EXPECT_EQ(Shape({kHuge, 2, 0}).elements(), 0);
}

TEST(Array, DefaultHasNoElements) {
  const Array array;
  EXPECT_EQ(array.elements(), 0);
  EXPECT_TRUE(array.span<float>().empty());
}

TEST(Array, EmptyIsAlignedAndWritable) {
  Array array = Array::empty(DType::f32, {3, 5});
  EXPECT_EQ(array.bytes(), 60U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(array.raw()) % 64, 0U);
  array.mutable_data<float>()[14] = 2.5F;
  EXPECT_EQ(array.span<float>()[14], 2.5F);
}

TEST(Array, ZerosAreZero) {
  const Array array = Array::zeros(DType::i64, {100});
  EXPECT_THAT(array.span<int64_t>(), testing::Each(0));
}

TEST(Array, FromCopiesTheValues) {
  std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Array array = Array::from(values, {2, 3});
  values[0] = 9;
  EXPECT_THAT(array.span<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  const std::vector<uint16_t> bits = {0x3F80, 0x4000};
  EXPECT_THAT(Array::from<uint16_t>(bits, DType::bf16, {2}).span<uint16_t>(), ElementsAre(0x3F80, 0x4000));
}

TEST(Array, FromTheWrongNumberOfValuesIsRefused) {
  const std::vector<float> values(5);
  expect_refused([&] { Array::from(values, {2, 3}); }, "expected 24 bytes for f32 [2, 3], found 20");
}

TEST(Array, ReadingAnotherTypeIsRefused) {
  const Array array = Array::zeros(DType::bf16, {2});
  EXPECT_NO_THROW(array.data<uint16_t>());
  expect_refused([&] { (void)array.data<float>(); }, "elements are bf16");
  expect_refused([&] { (void)array.data<int16_t>(); }, "elements are bf16");
  const std::vector<float> values(2);
  expect_refused([&] { Array::from<float>(values, DType::i32, {2}); }, "elements are i32");
}

TEST(Array, MoreBytesThanMemoryAddressesAreRefused) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  expect_refused([] { Array::empty(DType::f32, {kHuge}); }, "more bytes than memory can address");
}

TEST(Array, OverAMappedFileCopiesNothingAndKeepsItMapped) {
  const std::string path = testing::TempDir() + "ingot-array-over";
  const std::vector<float> values = {1.5F, -2, 3, 4};
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), 16);
  auto file = std::make_shared<MappedFile>(path);
  const std::byte* mapped = file->bytes().data();
  const std::weak_ptr<MappedFile> watch = file;
  {
    Array array = Array::over(mapped + 4, 12, DType::f32, {3}, std::move(file));
    EXPECT_EQ(array.raw(), mapped + 4);
    EXPECT_THAT(array.span<float>(), ElementsAre(-2, 3, 4));
    EXPECT_FALSE(watch.expired());
    EXPECT_FALSE(array.writable());
    expect_refused([&] { array.mutable_data<float>(); }, "read-only");
    const Array last = array.rows(2, 3);
    array = Array();
    EXPECT_FALSE(watch.expired()) << "a view keeps the file mapped";
    EXPECT_EQ(last.span<float>()[0], 4);
  }
  EXPECT_TRUE(watch.expired());
  std::filesystem::remove(path);
}

TEST(Array, OverMisalignedDataIsRefusedAndCopyIsNot) {
  alignas(4) const std::byte bytes[9] = {};
  expect_refused([&] { Array::over(bytes + 1, 8, DType::f32, {2}, nullptr); },
                 "aligned to the 4 bytes of f32");
  EXPECT_THAT(Array::copy(bytes + 1, 8, DType::f32, {2}).span<float>(), ElementsAre(0, 0));
}

TEST(Array, OverTheWrongNumberOfBytesIsRefused) {
  const float values[2] = {};
  expect_refused([&] { Array::over(values, 8, DType::f32, {3}, nullptr); },
                 "expected 12 bytes for f32 [3], found 8");
}

TEST(Array, CopiesAndViewsShareTheBytes) {
  Array array = Array::zeros(DType::i32, {4, 2});
  Array same = array;
  Array flat = array.reshape({8});
  Array tail = array.rows(3, 4);
  array.mutable_data<int32_t>()[7] = 5;
  EXPECT_EQ(same.span<int32_t>()[7], 5);
  EXPECT_EQ(flat.span<int32_t>()[7], 5);
  EXPECT_EQ(tail.shape(), Shape({1, 2}));
  EXPECT_THAT(tail.span<int32_t>(), ElementsAre(0, 5));
  EXPECT_EQ(array.rows(4, 4).elements(), 0);
}

TEST(Array, ViewsOutsideTheShapeAreRefused) {
  const Array array = Array::zeros(DType::f32, {4, 2});
  expect_refused([&] { array.reshape({3, 3}); }, "cannot reshape [4, 2] to [3, 3]");
  expect_refused([&] { array.rows(2, 5); }, "rows within [4, 2], found [2, 5)");
  expect_refused([&] { array.rows(-1, 2); }, "found [-1, 2)");
  expect_refused([&] { array.rows(3, 2); }, "found [3, 2)");
  expect_refused(
      [&] {
        array.reshape({2, 4}).reshape({8}).rows(0, 1).reshape(Shape()).rows(0, 1);
      },
      "rows within []");
}

}  // namespace
}  // namespace ingot
