#include "format/gguf_writer.h"

#include <sys/resource.h>

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "fixtures.h"
#include "format/gguf.h"

namespace ingot::format {
namespace {

namespace fs = std::filesystem;
using Existing = GgufWriter::Existing;

class GgufWriterTest : public testing::Test {
 protected:
  std::string path(const std::string& name = "m.gguf") const { return folder_.path() + "/" + name; }
  std::string read(const std::string& name = "m.gguf") const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void put(const std::string& name, std::string_view text) const { folder_.write(name, text); }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }

  TempFolder folder_;
};

template <typename Number, size_t kCount>
std::span<const std::byte> bytes_of(const std::array<Number, kCount>& values) {
  return std::as_bytes(std::span(values));
}

/// A file of one tensor without values of its own.
void declare_one(GgufWriter& writer, int64_t floats = 3) {
  writer.string("general.architecture", "llama");
  const std::array<int64_t, 1> shape = {floats};
  writer.tensor("t", DType::f32, shape);
}

TEST_F(GgufWriterTest, WhatIsWrittenReadsBack) {
  const std::array<float, 6> matrix = {1, 2, 3, 4, 5, 6};
  std::array<unsigned char, 34> block{};
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<unsigned char>(i);
  const std::array<float, 1> last = {-1};
  {
    GgufWriter writer(path(), Existing::refuse);
    writer.string("s", "text");
    writer.boolean("b", true);
    writer.number("u8", uint8_t{200});
    writer.number("i16", int16_t{-7});
    writer.number("u32", uint32_t{7});
    writer.number("i64", int64_t{-7});
    writer.number("f32", 0.1F);
    writer.number("f64", 0.1);
    writer.strings("strings", std::vector<std::string>{"a", "", "bc"});
    writer.numbers<int32_t>("ints", std::array{1, -2, 3});
    writer.numbers<float>("floats", std::array{0.5F, -0.25F});
    writer.booleans("bools", {true, false, true});
    writer.tensor("matrix", DType::f32, std::array<int64_t, 2>{2, 3});
    writer.tensor("block", DType::q8_0, std::array<int64_t, 2>{1, 32});
    writer.tensor("last", DType::f32, std::array<int64_t, 1>{1});
    const int64_t announced = writer.file_bytes();
    writer.begin();
    writer.write(bytes_of(matrix).first(10));  // tensors come in any pieces
    writer.write(bytes_of(matrix).subspan(10));
    writer.write(bytes_of(block));
    writer.write(bytes_of(last));
    writer.commit();
    EXPECT_EQ(static_cast<int64_t>(fs::file_size(path())), announced);
  }
  const std::string bytes = read();
  const Gguf file = parse_gguf(std::as_bytes(std::span(bytes)), "m.gguf");
  EXPECT_EQ(file.version, 3U);
  EXPECT_EQ(file.data_begin % 32, 0U);
  const GgufMetadata& metadata = file.metadata;
  EXPECT_EQ(metadata.get_string("s"), "text");
  EXPECT_TRUE(metadata.get_bool("b"));
  EXPECT_EQ(metadata.get_int("u8", 0, 255), 200);
  EXPECT_EQ(metadata.get_int("i16", -10, 0), -7);
  EXPECT_EQ(metadata.get_int("u32", 0, 10), 7);
  EXPECT_EQ(metadata.type("u32").type, GgufType::u32);
  EXPECT_EQ(metadata.get_int("i64", -10, 0), -7);
  EXPECT_EQ(metadata.get_double("f32", 0, 1), static_cast<double>(0.1F));
  EXPECT_EQ(metadata.get_double("f64", 0, 1), 0.1);
  ASSERT_EQ(metadata.strings("strings").size(), 3U);
  EXPECT_EQ(metadata.strings("strings")[2], "bc");
  EXPECT_EQ(metadata.ints("ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(metadata.floats("floats"), (std::vector<float>{0.5F, -0.25F}));
  EXPECT_EQ(metadata.type("bools").type, GgufType::boolean);
  EXPECT_EQ(metadata.type("bools").count, 3U);
  ASSERT_EQ(file.tensors.size(), 3U);
  EXPECT_EQ(file.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(file.tensors[0].bytes.data(), matrix.data(), sizeof matrix), 0);
  EXPECT_EQ(file.tensors[1].dtype, DType::q8_0);
  EXPECT_EQ(std::memcmp(file.tensors[1].bytes.data(), block.data(), block.size()), 0);
  EXPECT_EQ(std::memcmp(file.tensors[2].bytes.data(), last.data(), sizeof last), 0);
  EXPECT_EQ(files(), 1U);
}

TEST_F(GgufWriterTest, ValuesOfAnotherFileAreCopiedAsTheyStand) {
  {
    GgufWriter writer(path("a"), Existing::refuse);
    writer.strings("strings", std::vector<std::string>{"a", "bc"});
    writer.number("number", int16_t{-7});
    writer.begin();
    writer.commit();
  }
  const std::string bytes = read("a");
  const GgufMetadata metadata = parse_gguf(std::as_bytes(std::span(bytes)), "a").metadata;
  {
    GgufWriter writer(path("b"), Existing::refuse);
    for (const std::string_view key : metadata.keys()) writer.encoded(key, metadata.encoded(key));
    writer.begin();
    writer.commit();
  }
  EXPECT_EQ(read("b"), bytes);
}

TEST_F(GgufWriterTest, NothingIsLeftWithoutCommit) {
  {
    GgufWriter writer(path(), Existing::refuse);
    declare_one(writer);
    writer.begin();
    EXPECT_TRUE(fs::exists(path("m.gguf.part")));
    EXPECT_FALSE(fs::exists(path()));
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(GgufWriterTest, AnIncompleteFileIsNotCommitted) {
  GgufWriter writer(path(), Existing::refuse);
  declare_one(writer);
  writer.begin();
  writer.write(bytes_of(std::array<float, 2>{1, 2}));
  expect_error(ErrorCode::internal, "0 of 1 tensors are written", [&] { writer.commit(); });
  expect_error(ErrorCode::internal, "beyond the last tensor", [&] {
    writer.write(bytes_of(std::array<float, 2>{3, 4}));
  });
}

TEST_F(GgufWriterTest, AnExistingFileStaysUnlessItIsToBeReplaced) {
  put("m.gguf", "old");
  expect_error(ErrorCode::invalid_argument, "m.gguf: the file exists",
               [&] { GgufWriter writer(path(), Existing::refuse); });
  EXPECT_EQ(read(), "old");
  { const GgufWriter writer(path(), Existing::replace); }
  EXPECT_EQ(read(), "old");
  GgufWriter writer(path(), Existing::replace);
  writer.begin();
  writer.commit();
  EXPECT_TRUE(read().starts_with("GGUF"));
  EXPECT_EQ(files(), 1U);
}

TEST_F(GgufWriterTest, AFileThatAppearsMeanwhileStays) {
  {
    GgufWriter writer(path(), Existing::refuse);
    writer.begin();
    put("m.gguf", "another's");
    expect_error(ErrorCode::io, "cannot give it the name", [&] { writer.commit(); });
  }
  EXPECT_EQ(read(), "another's");
  EXPECT_EQ(files(), 1U);
}

TEST_F(GgufWriterTest, ASecondWriterOfTheSameFileIsRefused) {
  const GgufWriter first(path(), Existing::refuse);
  expect_error(ErrorCode::io, "another program is writing this file",
               [&] { GgufWriter second(path(), Existing::refuse); });
  EXPECT_TRUE(fs::exists(path("m.gguf.part")));
}

TEST_F(GgufWriterTest, APartThatAKilledProgramLeftIsBegunAnew) {
  put("m.gguf.part", std::string(5000, 'x'));
  GgufWriter writer(path(), Existing::refuse);
  writer.begin();
  const auto announced = static_cast<uintmax_t>(writer.file_bytes());
  writer.commit();
  EXPECT_EQ(fs::file_size(path()), announced);
}

TEST_F(GgufWriterTest, ALinkKeepsPointingAtWhatIsReplaced) {
  put("real.gguf", "old");
  fs::create_symlink(path("real.gguf"), path("link.gguf"));
  GgufWriter writer(path("link.gguf"), Existing::replace);
  writer.begin();
  writer.commit();
  EXPECT_TRUE(fs::is_symlink(path("link.gguf")));
  EXPECT_TRUE(read("real.gguf").starts_with("GGUF"));
}

TEST_F(GgufWriterTest, PlacesThatTakeNoFileAreNamed) {
  expect_error(ErrorCode::invalid_argument, "found a folder",
               [&] { GgufWriter writer(folder_.path(), Existing::replace); });
  expect_error(ErrorCode::invalid_argument, "expected the name of a file",
               [] { GgufWriter writer("", Existing::replace); });
  expect_error(ErrorCode::invalid_argument, "found a special file",
               [] { GgufWriter writer("/dev/null", Existing::replace); });
  expect_error(ErrorCode::io, "absent/m.gguf.part: cannot create the file: No such file or directory",
               [&] { GgufWriter writer(path("absent/m.gguf"), Existing::replace); });
}

/// The system refuses bytes beyond a limit, as it does where the disk is full.
TEST_F(GgufWriterTest, ADiskThatIsTooSmallIsNamedBeforeTheFirstTensor) {
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  {
    GgufWriter writer(path(), Existing::refuse);
    declare_one(writer, 1 << 20);
    expect_error(ErrorCode::io, "m.gguf.part: cannot ", [&] {
      writer.begin();
      const std::vector<std::byte> zeros(size_t{4} << 20);
      writer.write(zeros);
    });
  }
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(files(), 0U);
}

}  // namespace
}  // namespace ingot::format
