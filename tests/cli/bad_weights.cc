// Safetensors files and indexes that break their format: each is refused with exit code 2 and a message that
// names the file and what is wrong.
#include <filesystem>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::ordered_json;

constexpr auto kFile = "model.safetensors";
constexpr auto kIndex = "model.safetensors.index.json";
constexpr auto kShard1 = "model-00001-of-00003.safetensors";
constexpr auto kShard2 = "model-00002-of-00003.safetensors";
constexpr auto kNorm = "model.norm.weight";

class BadWeights : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }

  void expect_inspect_refuses(const std::vector<std::string>& parts) const {
    expect_refused(ingot({"inspect", "-m", folder.path()}), parts);
  }
  /// The file with its header changed and its data kept.
  template <class Change>
  void rewrite_header(Change change) const {
    const std::string bytes = checkpoint.safetensors();
    ordered_json header = TinyCheckpoint::header_of(bytes);
    change(header);
    folder.write(kFile, TinyCheckpoint::safetensors(header.dump(), TinyCheckpoint::data_of(bytes)));
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(BadWeights, TheCheckpointThatTheyAreMadeFromIsAccepted) {
  expect_success(ingot({"inspect", "-m", folder.path()}));
  expect_success(ingot({"run", "-m", folder.path(), "-n", "4", "the"}));
}

TEST_F(BadWeights, FileWithoutRoomForAHeader) {
  folder.write(kFile, "1234567");
  expect_inspect_refuses({folder.path(kFile), "8 bytes", "has 7"});
}

TEST_F(BadWeights, EmptyFile) {
  folder.write(kFile, "");
  expect_inspect_refuses({folder.path(kFile), "has 0"});
}

TEST_F(BadWeights, TruncatedHeader) {
  folder.write(kFile, checkpoint.safetensors().substr(0, 100));
  expect_inspect_refuses({folder.path(kFile), "header ends at byte", "has 100"});
}

TEST_F(BadWeights, OversizedHeader) {
  const std::string bytes = checkpoint.safetensors();
  folder.write(kFile, TinyCheckpoint::safetensors("{}", bytes, uint64_t{1} << 62));
  expect_inspect_refuses({folder.path(kFile), "header of at most", "4611686018427387904"});
}

TEST_F(BadWeights, TruncatedData) {
  const std::string bytes = checkpoint.safetensors();
  folder.write(kFile, std::string_view(bytes).substr(0, bytes.size() - 10));
  expect_inspect_refuses({folder.path(kFile), kNorm, "ends at byte " + std::to_string(bytes.size()),
                          "has " + std::to_string(bytes.size() - 10)});
}

TEST_F(BadWeights, DataThatNoTensorCovers) {
  folder.write(kFile, checkpoint.safetensors() + "tail");
  expect_inspect_refuses({folder.path(kFile), "last tensor ends at byte"});
}

TEST_F(BadWeights, OffsetsOutsideTheFile) {
  rewrite_header([](ordered_json& header) {
    header[kNorm]["data_offsets"] = {int64_t{1} << 40, (int64_t{1} << 40) + 128};
  });
  expect_inspect_refuses({folder.path(kFile), kNorm, "ends at byte 1099511"});
}

TEST_F(BadWeights, NegativeOffset) {
  rewrite_header([](ordered_json& header) { header[kNorm]["data_offsets"] = {-128, 0}; });
  expect_inspect_refuses({folder.path(kFile), kNorm, "data_offsets", "-128"});
}

TEST_F(BadWeights, OverlappingTensors) {
  rewrite_header([](ordered_json& header) { header[kNorm]["data_offsets"] = {0, 128}; });
  expect_inspect_refuses({folder.path(kFile), kNorm, "model.embed_tokens.weight", "inside"});
}

TEST_F(BadWeights, ShapeTimesTypeIsNotTheBytes) {
  rewrite_header([](ordered_json& header) { header[kNorm]["shape"] = {31}; });
  expect_inspect_refuses({folder.path(kFile), kNorm, "expected 124 bytes", "found 128"});
}

TEST_F(BadWeights, ShapeThatOverflows) {
  rewrite_header([](ordered_json& header) { header[kNorm]["shape"] = {int64_t{1} << 40, int64_t{1} << 40}; });
  expect_inspect_refuses({folder.path(kFile), kNorm, "overflows"});
}

TEST_F(BadWeights, DuplicateTensor) {
  const std::string bytes = checkpoint.safetensors();
  std::string header = TinyCheckpoint::header_of(bytes).dump();
  header.insert(header.size() - 1,
                R"(,"model.norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})");
  folder.write(kFile, TinyCheckpoint::safetensors(header, TinyCheckpoint::data_of(bytes)));
  expect_inspect_refuses({folder.path(kFile), "repeats the key", kNorm});
}

TEST_F(BadWeights, UnknownType) {
  rewrite_header([](ordered_json& header) { header[kNorm]["dtype"] = "F13"; });
  expect_inspect_refuses({folder.path(kFile), kNorm, "F13", "supported: F32, F16, BF16"});
}

TEST_F(BadWeights, TypeThatModelsCannotUse) {
  rewrite_header([](ordered_json& header) {
    header[kNorm]["dtype"] = "F64";
    header[kNorm]["shape"] = {16};
  });
  expect_inspect_refuses({folder.path(kFile), kNorm});
}

TEST_F(BadWeights, HeaderThatIsNotJson) {
  folder.write(kFile, TinyCheckpoint::safetensors("{\"a\": nonsense}", ""));
  expect_inspect_refuses({folder.path(kFile), "not valid JSON"});
}

TEST_F(BadWeights, HeaderThatIsNotAnObject) {
  folder.write(kFile, TinyCheckpoint::safetensors("[1, 2, 3]", ""));
  expect_inspect_refuses({folder.path(kFile), "begins with '{'"});
}

TEST_F(BadWeights, HeaderNestedAHundredThousandDeep) {
  std::string header = R"({"a":)";
  header += std::string(100'000, '[') + std::string(100'000, ']') + "}";
  folder.write(kFile, TinyCheckpoint::safetensors(header, ""));
  expect_inspect_refuses({folder.path(kFile), "nested deeper"});
}

TEST_F(BadWeights, HeaderWithWrongTypes) {
  for (const char* header : {R"({"a":7})", R"({"a":{"dtype":1,"shape":[],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":"x","data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0]}})",
                             R"({"a":{"shape":[],"data_offsets":[0,0]}})", R"({"__metadata__":{"a":1}})"}) {
    SCOPED_TRACE(header);
    folder.write(kFile, TinyCheckpoint::safetensors(header, ""));
    expect_inspect_refuses({folder.path(kFile)});
    if (testing::Test::HasFailure()) break;
  }
}

TEST_F(BadWeights, FolderInPlaceOfTheFile) {
  std::filesystem::remove(folder.path(kFile));
  std::filesystem::create_directory(folder.path(kFile));
  expect_inspect_refuses({folder.path(kFile), "regular file"});
}

TEST_F(BadWeights, DanglingLinkInPlaceOfTheFile) {
  std::filesystem::remove(folder.path(kFile));
  std::filesystem::create_symlink("/nonexistent/blob", folder.path(kFile));
  expect_inspect_refuses({kFile});
}

TEST_F(BadWeights, LinkThatLeadsToItself) {
  std::filesystem::remove(folder.path(kFile));
  std::filesystem::create_symlink(folder.path(kFile), folder.path(kFile));
  expect_inspect_refuses({folder.path(kFile)});
}

TEST_F(BadWeights, MissingTensor) {
  checkpoint.tensors.erase("model.layers.1.mlp.up_proj.weight");
  checkpoint.write(folder);
  expect_inspect_refuses({folder.path(), "'model.layers.1.mlp.up_proj.weight' is missing", "[48, 32]"});
}

TEST_F(BadWeights, ExtraTensor) {
  checkpoint.tensors["model.layers.0.self_attn.q_proj.bias"] = {{2}, {1, 2}};
  checkpoint.write(folder);
  expect_inspect_refuses({folder.path(), "llama does not use", "'model.layers.0.self_attn.q_proj.bias'"});
}

TEST_F(BadWeights, MisshapenTensor) {
  checkpoint.tensors["model.layers.0.mlp.up_proj.weight"].shape = {32, 48};
  checkpoint.write(folder);
  expect_inspect_refuses({folder.path(kFile), "'model.layers.0.mlp.up_proj.weight'",
                          "expected shape [48, 32]", "found [32, 48]"});
}

class BadShards : public BadWeights {
 protected:
  void SetUp() override {
    std::filesystem::remove(folder.path(kFile));
    checkpoint.write_sharded(folder);
  }
  template <class Change>
  void rewrite_index(Change change) const {
    ordered_json index = checkpoint.index();
    change(index);
    folder.write(kIndex, index.dump());
  }
};

TEST_F(BadShards, TheCheckpointThatTheyAreMadeFromIsAccepted) {
  expect_success(ingot({"inspect", "-m", folder.path()}));
}

TEST_F(BadShards, MissingShard) {
  std::filesystem::remove(folder.path(kShard2));
  expect_inspect_refuses({folder.path(kIndex), kShard2, "missing", "model.layers.1."});
}

TEST_F(BadShards, IndexThatNamesAnAbsentTensor) {
  rewrite_index([](ordered_json& index) { index["weight_map"]["model.layers.9.bias"] = kShard1; });
  expect_inspect_refuses({folder.path(kIndex), "'model.layers.9.bias'", kShard1, "does not hold it"});
}

TEST_F(BadShards, IndexThatOmitsATensor) {
  rewrite_index([](ordered_json& index) { index["weight_map"].erase(kNorm); });
  expect_inspect_refuses({folder.path(kIndex), kNorm, "omits"});
}

TEST_F(BadShards, IndexThatNamesAnotherShard) {
  rewrite_index([](ordered_json& index) { index["weight_map"][kNorm] = kShard1; });
  expect_inspect_refuses({folder.path(kIndex), kNorm, "the index says '" + std::string(kShard1)});
}

TEST_F(BadShards, TensorInTwoShards) {
  auto shard = std::map<std::string, TinyTensor>();
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (name.find("layers.1.") != std::string::npos || name == kNorm) shard[name] = tensor;
  }
  folder.write(kShard2, TinyCheckpoint::safetensors(shard));
  expect_inspect_refuses({kNorm, "is already in"});
}

TEST_F(BadShards, ShardOutsideTheFolder) {
  rewrite_index([](ordered_json& index) { index["weight_map"][kNorm] = "../../etc/passwd"; });
  expect_inspect_refuses({folder.path(kIndex), "../../etc/passwd", "same folder"});
}

TEST_F(BadShards, IndexThatIsNotJson) {
  folder.write(kIndex, "{\"weight_map\": {");
  expect_inspect_refuses({folder.path(kIndex), "not valid JSON"});
}

TEST_F(BadShards, IndexNestedAHundredThousandDeep) {
  folder.write(kIndex, std::string(100'000, '['));
  expect_inspect_refuses({folder.path(kIndex), "nested deeper"});
}

TEST_F(BadShards, IndexWithWrongTypes) {
  for (const char* index :
       {"[]", "{}", R"({"weight_map": []})", R"({"weight_map": {"a": 1}})", R"({"weight_map": {}})",
        R"({"weight_map": {"a": ""}})", R"({"weight_map": {"a": "a\u0000b"}})"}) {
    SCOPED_TRACE(index);
    folder.write(kIndex, index);
    expect_inspect_refuses({folder.path(kIndex), "expected"});
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace ingot::cli_test
