// The committed reference checkpoints (tools/goldens.py) as published folders: what other tests build on.
#include <filesystem>

#include "format/fixtures.h"
#include "format/hf_folder.h"
#include "format/rope_config.h"

namespace ingot::format {
namespace {

const std::filesystem::path kModels = std::filesystem::path(INGOT_SOURCE_DIR) / "tests/model";

TEST(Goldens, EveryCheckpointOpensAndItsResultsFit) {
  size_t cases = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kModels)) {
    if (entry.path().filename() != "golden.safetensors") continue;
    ++cases;
    SCOPED_TRACE(entry.path().string());
    const HfFolder folder = HfFolder::open(entry.path().parent_path().string());
    for (const Tensor& tensor : folder.tensors()) {
      EXPECT_TRUE(is_weight_dtype(tensor.dtype)) << tensor.name;
      EXPECT_TRUE(tensor.is_aligned()) << tensor.name;
    }
    const int64_t vocabulary = folder.config().get_int("vocab_size", 100, 300);

    const MappedFile file(entry.path().string());
    const Safetensors golden = parse_safetensors(file.bytes(), file.path());
    const auto find = [&](std::string_view name) -> const Tensor& {
      for (const Tensor& tensor : golden.tensors) {
        if (tensor.name == name) return tensor;
      }
      throw std::runtime_error("no tensor " + std::string(name));
    };
    const int64_t prompt = find("prompt").elements();
    EXPECT_EQ(find("prompt").dtype, DType::i32);
    EXPECT_EQ(find("greedy").dtype, DType::i32);
    EXPECT_EQ(find("greedy").shape, (std::vector<int64_t>{32}));
    EXPECT_EQ(find("logits").dtype, DType::f32);
    EXPECT_EQ(find("logits").shape, (std::vector<int64_t>{prompt + 31, vocabulary}));
  }
  EXPECT_GE(cases, 16U);
}

TEST(Goldens, PublishedGpt2HoldsItsWeightsAtUnalignedPlaces) {
  const HfFolder folder = HfFolder::open((kModels / "gpt2/published").string());
  const Tensor& embedding = *folder.find("wte.weight");
  EXPECT_TRUE(embedding.is_aligned());
  EXPECT_NE(folder.owner(embedding), folder.file(embedding));
}

TEST(Goldens, ShardedMistralHasThreeFiles) {
  EXPECT_EQ(HfFolder::open((kModels / "llama/mistral").string()).files().size(), 3U);
}

TEST(Goldens, BothGenerationsOfRopeSettingsAreCovered) {
  const auto rope = [](const char* name) {
    return read_rope_config(HfFolder::open((kModels / name).string()).config());
  };
  const RopeConfig old_form = rope("llama/llama3");
  RopeConfig new_form = rope("llama/llama3_parameters");
  EXPECT_EQ(old_form.kind, RopeConfig::Kind::llama3);
  EXPECT_EQ(old_form.theta, 100);
  EXPECT_EQ(new_form.factor, 4);
  new_form.factor = 8;
  EXPECT_EQ(old_form, new_form);
  EXPECT_EQ(rope("llama/llama2"), RopeConfig{});
  EXPECT_EQ(rope("llama/linear_biases").kind, RopeConfig::Kind::linear);
  EXPECT_EQ(rope("qwen3/yarn_sliding").mscale, 0.7);
}

}  // namespace
}  // namespace ingot::format
