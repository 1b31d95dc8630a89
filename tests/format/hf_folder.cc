#include "format/hf_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include "format/fixtures.h"

namespace ingot::format {
namespace {

constexpr auto kExpected =
    "expected a GGUF file, or a Hugging Face folder with config.json, model.safetensors (or "
    "model.safetensors.index.json and its shards) and tokenizer.json";

// A file of u8 tensors with these names, one byte each.
std::string u8_file(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i > 0 ? ",\"" : "\"") + names[i] + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  return safetensors_bytes(header + "}", names.size());
}

class HfFolderTest : public testing::Test {
 protected:
  HfFolderTest() { folder.write("config.json", R"({"model_type":"llama"})"); }

  void write_index(const std::string& weight_map) {
    folder.write("model.safetensors.index.json",
                 R"({"metadata":{"total_size":2},"weight_map":)" + weight_map + "}");
  }
  void expect_open_error(ErrorCode code, const std::string& message) {
    expect_error(code, message, [&] { HfFolder::open(folder.path()); });
  }

  TempFolder folder;
};

TEST_F(HfFolderTest, SingleFileIsOpened) {
  folder.write("model.safetensors", u8_file({"a", "b"}));
  const HfFolder opened = HfFolder::open(folder.path());
  EXPECT_EQ(opened.config().get_string("model_type"), "llama");
  EXPECT_TRUE(opened.generation_config().keys().empty());
  ASSERT_EQ(opened.tensors().size(), 2U);
  const Tensor* b = opened.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(std::to_integer<int>(b->bytes[0]), 1);
  EXPECT_EQ(opened.find("c"), nullptr);
  EXPECT_EQ(opened.file(*b)->path(), folder.path() + "/model.safetensors");
  EXPECT_EQ(opened.owner(*b), opened.file(*b));
  EXPECT_EQ(opened.file_bytes(), static_cast<int64_t>(u8_file({"a", "b"}).size()));
  EXPECT_EQ(opened.file_path("tokenizer.json"), folder.path() + "/tokenizer.json");
}

TEST_F(HfFolderTest, FolderStaysValidWhenMoved) {
  folder.write("model.safetensors", u8_file({"a", "b"}));
  HfFolder opened = HfFolder::open(folder.path());
  const HfFolder moved = std::move(opened);
  EXPECT_EQ(moved.find("b"), &moved.tensors()[1]);
}

TEST_F(HfFolderTest, GenerationConfigIsReadWhereItIs) {
  folder.write("model.safetensors", u8_file({"a"}));
  folder.write("generation_config.json", R"({"top_k":7})");
  EXPECT_EQ(HfFolder::open(folder.path()).generation_config().get_int("top_k", 0, 9), 7);
  folder.write("generation_config.json", "nonsense");
  expect_open_error(ErrorCode::invalid_file, folder.path() + "/generation_config.json: not valid JSON");
}

TEST_F(HfFolderTest, ShardsAreOpenedThroughTheIndex) {
  write_index(R"({"b":"2.safetensors","a":"1.safetensors","c":"2.safetensors"})");
  folder.write("1.safetensors", u8_file({"a"}));
  folder.write("2.safetensors", u8_file({"c", "b"}));
  const HfFolder opened = HfFolder::open(folder.path());
  ASSERT_EQ(opened.files().size(), 2U);
  ASSERT_EQ(opened.tensors().size(), 3U);
  EXPECT_EQ(opened.file(*opened.find("a"))->path(), folder.path() + "/1.safetensors");
  EXPECT_EQ(opened.file(*opened.find("b"))->path(), folder.path() + "/2.safetensors");
  EXPECT_EQ(opened.file_bytes(), static_cast<int64_t>(u8_file({"a"}).size() + u8_file({"c", "b"}).size()));
}

TEST_F(HfFolderTest, MissingShardIsNamed) {
  write_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  folder.write("1.safetensors", u8_file({"a"}));
  expect_open_error(ErrorCode::not_found,
                    folder.path() +
                        "/model.safetensors.index.json: shard '2.safetensors' of tensor 'b' is "
                        "missing in the folder");
}

TEST_F(HfFolderTest, ShardNameThatNoFileCanHaveIsMissing) {
  write_index("{\"a\":\"" + std::string(5000, 'x') + "\"}");
  expect_open_error(ErrorCode::not_found, "of tensor 'a' is missing in the folder");
}

TEST_F(HfFolderTest, IndexNamingAnAbsentTensorIsAnError) {
  write_index(R"({"a":"1.safetensors","b":"1.safetensors"})");
  folder.write("1.safetensors", u8_file({"a"}));
  expect_open_error(ErrorCode::invalid_file,
                    "the index says that tensor 'b' is in shard '1.safetensors', which does not hold it");
}

TEST_F(HfFolderTest, TensorInAnotherShardThanTheIndexSaysIsAnError) {
  write_index(R"({"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"})");
  folder.write("1.safetensors", u8_file({"a"}));
  folder.write("2.safetensors", u8_file({"b", "c"}));
  expect_open_error(ErrorCode::invalid_file,
                    "tensor 'b' is in shard '2.safetensors', the index says '1.safetensors'");
}

TEST_F(HfFolderTest, TensorThatTheIndexOmitsIsAnError) {
  write_index(R"({"a":"1.safetensors"})");
  folder.write("1.safetensors", u8_file({"a", "b"}));
  expect_open_error(ErrorCode::invalid_file, "shard '1.safetensors' holds tensor 'b', which the index omits");
}

TEST_F(HfFolderTest, TensorInTwoShardsIsAnError) {
  write_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  folder.write("1.safetensors", u8_file({"a"}));
  folder.write("2.safetensors", u8_file({"a", "b"}));
  expect_open_error(ErrorCode::invalid_file,
                    "/2.safetensors: tensor 'a' is already in " + folder.path() + "/1.safetensors");
}

TEST_F(HfFolderTest, ShardOutsideTheFolderIsRefused) {
  for (const std::string name :
       {"../x", "/etc/passwd", "sub/x", "..", ".", "", "a\\\\b", "1.safetensors\\u0000x"}) {
    write_index("{\"a\":\"" + name + "\"}");
    folder.write("1.safetensors", u8_file({"a"}));
    expect_open_error(ErrorCode::invalid_file,
                      "weight_map: key 'a': expected the name of a file in the same folder");
  }
}

TEST_F(HfFolderTest, BrokenIndexIsNamed) {
  const std::string index = folder.path() + "/model.safetensors.index.json: ";
  folder.write("model.safetensors.index.json", "{");
  expect_open_error(ErrorCode::invalid_file, index + "not valid JSON");
  folder.write("model.safetensors.index.json", "{}");
  expect_open_error(ErrorCode::invalid_file, index + "key 'weight_map': expected an object of tensor names");
  write_index("{}");
  expect_open_error(ErrorCode::invalid_file, index + "key 'weight_map': expected an object of tensor names");
  write_index("[]");
  expect_open_error(ErrorCode::invalid_file, index + "key 'weight_map': expected an object, found []");
  write_index(R"({"a":1})");
  expect_open_error(ErrorCode::invalid_file, index + "weight_map: key 'a': expected a string, found 1");
}

TEST_F(HfFolderTest, BrokenShardIsNamedByItsPath) {
  folder.write("model.safetensors", u8_file({"a"}) + "x");
  expect_open_error(ErrorCode::invalid_file,
                    "safetensors: " + folder.path() + "/model.safetensors: the last tensor ends at byte");
}

TEST_F(HfFolderTest, EmptyWeightFileIsAnError) {
  folder.write("model.safetensors", "");
  expect_open_error(ErrorCode::invalid_file, "the file has 0");
}

TEST_F(HfFolderTest, SingleFileCountsWhereAnIndexIsThereToo) {
  folder.write("model.safetensors", u8_file({"a"}));
  write_index(R"({"b":"absent.safetensors"})");
  EXPECT_NE(HfFolder::open(folder.path()).find("a"), nullptr);
}

TEST_F(HfFolderTest, FolderWithoutWeightsSaysWhatIsExpected) {
  expect_open_error(ErrorCode::not_found,
                    folder.path() +
                        ": no model.safetensors and no model.safetensors.index.json in the folder; " +
                        kExpected);
  folder.write("pytorch_model.bin", "x");
  expect_open_error(ErrorCode::unsupported, "the weights are in pytorch_model.bin, which is not supported");
}

TEST_F(HfFolderTest, FolderWithoutConfigSaysWhatIsExpected) {
  ::unlink((folder.path() + "/config.json").c_str());
  folder.write("model.safetensors", u8_file({"a"}));
  expect_open_error(ErrorCode::not_found, folder.path() + ": no config.json in the folder; " + kExpected);
}

TEST_F(HfFolderTest, PathThatIsNoFolderSaysWhatIsExpected) {
  const auto expect_refused = [](ErrorCode code, const std::string& path, const std::string& what) {
    expect_error(code, path + ": " + what + "; " + kExpected, [&] { HfFolder::open(path); });
  };
  expect_refused(ErrorCode::not_found, folder.path() + "/absent", "no such file or folder");
  expect_refused(ErrorCode::not_found, "", "no such file or folder");
  expect_refused(ErrorCode::unsupported, folder.write("x.safetensors", u8_file({"a"})),
                 "a lone safetensors file");
  expect_refused(ErrorCode::unsupported, folder.write("notes.txt", "x"), "a single file");
  expect_refused(ErrorCode::unsupported, folder.write("empty", ""), "a single file");
  expect_refused(ErrorCode::unsupported, "/dev/null", "not a folder");
  expect_refused(ErrorCode::not_found, folder.path() + "/config.json/x", "no such file or folder");
  expect_error(ErrorCode::io, "File name too long", [] { HfFolder::open(std::string(5000, 'x')); });
}

TEST_F(HfFolderTest, UnreadableFileIsAnIoError) {
  if (::geteuid() == 0) {
    // root reads everything; a folder in the file's place cannot be read by anyone
    ::mkdir((folder.path() + "/model.safetensors").c_str(), 0755);
    expect_open_error(ErrorCode::io, folder.path() + "/model.safetensors: expected a regular file");
  } else {
    ::chmod(folder.write("model.safetensors", u8_file({"a"})).c_str(), 0);
    expect_open_error(ErrorCode::io,
                      folder.path() + "/model.safetensors: cannot open the file: Permission denied");
  }
}

TEST_F(HfFolderTest, PipeInTheWeightsPlaceIsRefusedWithoutWaiting) {
  ASSERT_EQ(::mkfifo((folder.path() + "/model.safetensors").c_str(), 0600), 0);
  expect_open_error(ErrorCode::io, folder.path() + "/model.safetensors: expected a regular file");
}

TEST_F(HfFolderTest, FileThatShrinksIsNoticed) {
  const std::string bytes = u8_file({"a"});
  const std::string path = folder.write("model.safetensors", bytes);
  const HfFolder opened = HfFolder::open(folder.path());
  opened.check_unchanged();
  ASSERT_EQ(::truncate(path.c_str(), 10), 0);
  expect_error(ErrorCode::io,
               path + ": the file shrank while it was in use: expected " + std::to_string(bytes.size()) +
                   " bytes, found 10",
               [&] { opened.check_unchanged(); });
}

TEST_F(HfFolderTest, MisalignedTensorIsCopiedToAnAlignedPlace) {
  for (size_t padding = 0; padding < 4; ++padding) {
    const std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                               R"("x":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})" +
                               std::string(padding, ' ');
    folder.write("model.safetensors", safetensors_bytes(header, 9));
    const HfFolder opened = HfFolder::open(folder.path());
    const Tensor& w = *opened.find("w");
    EXPECT_TRUE(w.is_aligned());
    ASSERT_EQ(w.bytes.size(), 8U);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(std::to_integer<int>(w.bytes[static_cast<size_t>(i)]), i);
    const bool in_place = (8 + header.size()) % 4 == 0;
    EXPECT_EQ(opened.owner(w) == opened.file(w), in_place);
    EXPECT_EQ(opened.owner(*opened.find("x")), opened.file(w));
  }
}

}  // namespace
}  // namespace ingot::format
