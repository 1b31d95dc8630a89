#include "format/gguf_files.h"

#include "fixtures.h"
#include "gguf_bytes.h"

namespace ingot::format {
namespace {

const std::string kFour(16, '\1');

/// Part `index` (from 0) of `count`, with one tensor.
GgufBytes part(uint16_t index, uint16_t count, const std::string& tensor) {
  GgufBytes file;
  file.number("split.no", index).number("split.count", count).tensor(tensor, {4}, 0, kFour);
  return file;
}

class GgufFilesTest : public testing::Test {
 protected:
  void write_parts() {
    folder.write(
        "m-00001-of-00003.gguf",
        part(0, 3, "a").string("general.architecture", "llama").number("split.tensors.count", 3).bytes());
    folder.write("m-00002-of-00003.gguf", part(1, 3, "b").bytes());
    folder.write("m-00003-of-00003.gguf", part(2, 3, "c").bytes());
  }
  void expect_open_error(ErrorCode code, const std::string& message, const std::string& file) {
    expect_error(code, message, [&] { GgufFiles::open(folder.path() + "/" + file); });
  }
  TempFolder folder;
};

TEST_F(GgufFilesTest, WholeFileIsOnePart) {
  const std::string path = folder.write("m.gguf", GgufBytes().tensor("a", {4}, 0, kFour).bytes());
  const GgufFiles files = GgufFiles::open(path);
  EXPECT_EQ(files.files.size(), 1U);
  EXPECT_EQ(files.tensors.size(), 1U);
}

TEST_F(GgufFilesTest, AnyPartOpensAll) {
  write_parts();
  for (const char* name : {"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const GgufFiles files = GgufFiles::open(folder.path() + "/" + name);
    ASSERT_EQ(files.files.size(), 3U);
    ASSERT_EQ(files.tensors.size(), 3U);
    EXPECT_EQ(files.tensors[1].name, "b");
    EXPECT_EQ(files.tensors[2].file, 2U);
    EXPECT_EQ(files.metadata.get_string("general.architecture"), "llama");
  }
}

TEST_F(GgufFilesTest, MissingPartIsNamed) {
  write_parts();
  std::filesystem::remove(folder.path() + "/m-00002-of-00003.gguf");
  expect_open_error(ErrorCode::not_found,
                    "part 2 of 3 is missing: " + folder.path() + "/m-00002-of-00003.gguf",
                    "m-00003-of-00003.gguf");
}

TEST_F(GgufFilesTest, PartsOfAnotherNumberOrCountAreRefused) {
  write_parts();
  folder.write("m-00002-of-00003.gguf", part(2, 3, "b").bytes());
  expect_open_error(ErrorCode::invalid_file, "key 'split.no': expected 1 as the file's name says, found 2",
                    "m-00001-of-00003.gguf");
  folder.write("m-00002-of-00003.gguf", part(1, 4, "b").bytes());
  expect_open_error(ErrorCode::invalid_file, "key 'split.count': expected 3 as in the other parts, found 4",
                    "m-00001-of-00003.gguf");
}

TEST_F(GgufFilesTest, RenamedPartSaysWhatItsNameMustBe) {
  folder.write("renamed.gguf", part(0, 3, "a").bytes());
  expect_open_error(
      ErrorCode::invalid_file,
      "key 'split.count': one of 3 parts: expected a file name that ends in -NNNNN-of-00003.gguf",
      "renamed.gguf");
}

TEST_F(GgufFilesTest, TensorInTwoPartsIsRefused) {
  write_parts();
  folder.write("m-00003-of-00003.gguf", part(2, 3, "a").bytes());
  expect_open_error(ErrorCode::invalid_file, "m-00003-of-00003.gguf: tensor 'a' is in another part too",
                    "m-00001-of-00003.gguf");
}

TEST_F(GgufFilesTest, CountOfTensorsMustHold) {
  write_parts();
  folder.write("m-00003-of-00003.gguf", part(2, 3, "c").tensor("d", {4}, 0, kFour).bytes());
  expect_open_error(ErrorCode::invalid_file,
                    "key 'split.tensors.count': expected 3, found 4 tensors in 3 parts",
                    "m-00001-of-00003.gguf");
}

TEST(GgufPartName, IsReadAndWritten) {
  const auto part = read_part_name("/models/a-b-00002-of-00010.gguf");
  ASSERT_TRUE(part);
  EXPECT_EQ(part->prefix, "/models/a-b");
  EXPECT_EQ(part->number, 2);
  EXPECT_EQ(part->count, 10);
  EXPECT_EQ(part_name(*part), "/models/a-b-00002-of-00010.gguf");
  for (const char* name : {"a.gguf", "a-00002-of-00001.gguf", "a-00000-of-00001.gguf", "a-1-of-2.gguf",
                           "a-00001-of-00002.bin", "00001-of-00002.gguf", "", "a-0000x-of-00002.gguf"}) {
    EXPECT_FALSE(read_part_name(name)) << name;
  }
}

}  // namespace
}  // namespace ingot::format
