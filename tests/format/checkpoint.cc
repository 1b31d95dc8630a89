#include "format/checkpoint.h"

#include "fixtures.h"

namespace ingot::format {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(INGOT_SOURCE_DIR) / "tests/model";

class CheckpointTest : public testing::Test {
 protected:
  void copy(const std::string& file, const std::string& name) {
    fs::copy(kModels / file, fs::path(folder.path()) / name);
  }
  TempFolder folder;
};

TEST_F(CheckpointTest, FolderWithConfigIsAHuggingFaceOneWhateverElseIsThere) {
  const auto checkpoint = Checkpoint::open((kModels / "llama/llama2").string());
  EXPECT_EQ(checkpoint->gguf(), nullptr);
  EXPECT_EQ(checkpoint->config().get_int("vocab_size", 0, 999), 131);
}

TEST_F(CheckpointTest, GgufFileIsKnownByItsMagicOrItsName) {
  copy("llama/llama2/model.gguf", "weights.bin");
  const auto checkpoint = Checkpoint::open(folder.path() + "/weights.bin");
  ASSERT_NE(checkpoint->gguf(), nullptr);
  EXPECT_EQ(checkpoint->config().get_int("vocab_size", 0, 999), 131);
  EXPECT_EQ(checkpoint->file_path("tokenizer.json"), folder.path() + "/tokenizer.json");
  EXPECT_EQ(checkpoint->file_bytes(), static_cast<int64_t>(fs::file_size(folder.path() + "/weights.bin")));
  const std::string broken = folder.write("broken.gguf", "GGML");
  expect_error(ErrorCode::invalid_file, "broken.gguf: expected the magic 'GGUF', found 'GGML'",
               [&] { Checkpoint::open(broken); });
}

TEST_F(CheckpointTest, FolderWithOneGgufFileOpensIt) {
  copy("llama/llama2/model.gguf", "any.gguf");
  EXPECT_NE(Checkpoint::open(folder.path())->gguf(), nullptr);
}

TEST_F(CheckpointTest, FolderWithOneSplitFileOpensIt) {
  for (const char* part : {"1", "2", "3"}) {
    const std::string name = "model-0000" + std::string(part) + "-of-00003.gguf";
    copy("llama/mistral/" + name, name);
  }
  const auto checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint->files().size(), 3U);
  EXPECT_EQ(checkpoint->config().get_string("model_type"), "mistral");
}

TEST_F(CheckpointTest, FolderWithSeveralGgufFilesAsksForOne) {
  copy("llama/llama2/model.gguf", "a.gguf");
  copy("llama/llama2/model.gguf", "b.gguf");
  expect_error(ErrorCode::invalid_argument,
               "expected one GGUF file in the folder, found 2, 'a.gguf' and 'b.gguf'",
               [&] { Checkpoint::open(folder.path()); });
}

TEST_F(CheckpointTest, OtherPathsSayWhatIsExpected) {
  expect_error(ErrorCode::not_found, "no such file or folder; expected a GGUF file, or a Hugging Face folder",
               [&] { Checkpoint::open(folder.path() + "/absent"); });
  expect_error(ErrorCode::not_found, "no config.json in the folder",
               [&] { Checkpoint::open(folder.path()); });
  const std::string notes = folder.write("notes.txt", "x");
  expect_error(ErrorCode::unsupported, "a single file; expected a GGUF file",
               [&] { Checkpoint::open(notes); });
}

}  // namespace
}  // namespace ingot::format
