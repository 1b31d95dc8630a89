// Paths, configs and tokenizers that Ingot cannot use: each is refused with exit code 2 and a message that
// names the file, what was expected and what was found.
#include <filesystem>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::ordered_json;

class BadFolder : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }
  void expect_inspect_refuses(const std::vector<std::string>& parts) const {
    expect_refused(ingot({"inspect", "-m", folder.path()}), parts);
  }
  /// Writes the checkpoint again with one key of its config changed.
  void expect_config_refused(const std::string& key, const ordered_json& value,
                             std::vector<std::string> parts) const {
    TinyCheckpoint changed = checkpoint;
    changed.config[key] = value;
    changed.write(folder);
    parts.push_back(folder.path("config.json"));
    SCOPED_TRACE(key + ": " + value.dump());
    expect_inspect_refuses(parts);
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(BadFolder, MissingPath) {
  expect_refused(ingot({"run", "-m", "/nonexistent/model", "x"}),
                 {"/nonexistent/model", "no such file or folder", "Hugging Face folder with config.json"});
}

TEST_F(BadFolder, EmptyPath) {
  expect_refused(ingot({"inspect", "-m", ""}), {"--model", "FOLDER"});
}

TEST_F(BadFolder, GgufFile) {
  folder.write("model.gguf", "GGUF\3");
  expect_refused(ingot({"inspect", "-m", folder.path("model.gguf")}),
                 {folder.path("model.gguf"), "gguf: ", "the version of 4 bytes at byte 4 does not fit"});
}

TEST_F(BadFolder, LoneSafetensorsFile) {
  expect_refused(ingot({"inspect", "-m", folder.path("model.safetensors")}),
                 {"a lone safetensors file", "Hugging Face folder with config.json"});
}

TEST_F(BadFolder, DeviceInPlaceOfAFolder) {
  expect_refused(ingot({"inspect", "-m", "/dev/null"}), {"/dev/null: not a folder"});
}

TEST_F(BadFolder, EmptyFolder) {
  const TempFolder empty;
  expect_refused(ingot({"inspect", "-m", empty.path()}), {empty.path(), "no config.json"});
}

TEST_F(BadFolder, NoWeights) {
  std::filesystem::remove(folder.path("model.safetensors"));
  expect_inspect_refuses({folder.path(), "no model.safetensors"});
}

TEST_F(BadFolder, WeightsOfAnotherFormat) {
  std::filesystem::rename(folder.path("model.safetensors"), folder.path("pytorch_model.bin"));
  expect_inspect_refuses({folder.path(), "pytorch_model.bin, which is not supported"});
}

TEST_F(BadFolder, FolderInPlaceOfEachJsonFile) {
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    SCOPED_TRACE(name);
    checkpoint.write(folder);
    std::filesystem::remove(folder.path(name));
    std::filesystem::create_directory(folder.path(name));
    expect_inspect_refuses({folder.path(name), "regular file"});
    std::filesystem::remove(folder.path(name));
  }
}

TEST_F(BadFolder, EachJsonFileThatIsNotJson) {
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    for (const char* text : {"", "{", "{\"a\": 1} x", "\xff\xfe{}", "{'a': 1}"}) {
      SCOPED_TRACE(std::string(name) + ": " + text);
      checkpoint.write(folder);
      folder.write(name, text);
      expect_inspect_refuses({folder.path(name), "not valid JSON"});
    }
  }
}

TEST_F(BadFolder, EachJsonFileThatIsNotAnObject) {
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    SCOPED_TRACE(name);
    checkpoint.write(folder);
    folder.write(name, "[1]");
    expect_inspect_refuses({folder.path(name), "expected a JSON object"});
  }
}

TEST_F(BadFolder, EachJsonFileNestedAHundredThousandDeep) {
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    for (const char* open : {"[", "{\"a\":"}) {
      SCOPED_TRACE(std::string(name) + ": " + open);
      checkpoint.write(folder);
      std::string text;
      for (int i = 0; i < 100'000; ++i) text += open;
      folder.write(name, text);
      expect_inspect_refuses({folder.path(name), "nested deeper"});
    }
  }
}

TEST_F(BadFolder, UnknownArchitectureListsTheSupportedOnes) {
  expect_config_refused("model_type", "mamba",
                        {"'mamba' is not supported", "gpt2", "llama", "mistral", "qwen2", "qwen3"});
}

TEST_F(BadFolder, NoArchitecture) {
  expect_config_refused("model_type", nullptr, {"'model_type'", "expected"});
}

TEST_F(BadFolder, UnsupportedOptions) {
  expect_config_refused("hidden_act", "gelu", {"'hidden_act'", "'gelu' is not supported", "silu"});
  expect_config_refused("quantization_config", {{"bits", 4}},
                        {"'quantization_config'", "not supported", "bf16"});
  expect_config_refused("is_encoder_decoder", true, {"'is_encoder_decoder'", "decoder-only"});
  expect_config_refused("rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}},
                        {"'dynamic' is not supported", "default, linear, llama3, yarn"});
}

TEST_F(BadFolder, UnsupportedOptionOfEachOtherArchitecture) {
  struct Case {
    const char* checkpoint;
    const char* key;
    ordered_json value;
    const char* message;
  };
  const Case cases[] = {{"gpt2/published", "activation_function", "relu", "gelu_new"},
                        {"gpt2/published", "n_head", 7, "divisor of n_embd"},
                        {"qwen2/tied", "layer_types", {"linear_attention"}, "layer_types"},
                        {"qwen3/tied_bf16", "hidden_act", "relu", "silu"},
                        {"llama/mistral", "num_key_value_heads", 5, "divisor of num_attention_heads"}};
  for (const Case& a : cases) {
    SCOPED_TRACE(std::string(a.checkpoint) + ": " + a.key);
    const TempFolder copy;
    std::filesystem::copy(std::string(INGOT_SOURCE_DIR "/tests/model/") + a.checkpoint, copy.path());
    ordered_json config = ordered_json::parse(copy.read("config.json"));
    config[a.key] = a.value;
    copy.write("config.json", config.dump());
    expect_refused(ingot({"inspect", "-m", copy.path()}), {copy.path("config.json"), a.key, a.message});
  }
}

TEST_F(BadFolder, HeadCountsThatDoNotDivide) {
  expect_config_refused("num_key_value_heads", 3,
                        {"'num_key_value_heads'", "divisor of num_attention_heads (4)"});
  checkpoint.config.erase("head_dim");
  expect_config_refused("num_attention_heads", 6, {"'num_attention_heads'", "divisor of hidden_size (32)"});
}

TEST_F(BadFolder, ConfigWithWrongTypesAndRanges) {
  expect_config_refused("hidden_size", "32", {"'hidden_size'", "an integer", "\"32\""});
  expect_config_refused("hidden_size", 32.5, {"'hidden_size'", "an integer", "32.5"});
  expect_config_refused("hidden_size", 0, {"'hidden_size'", "between 1 and"});
  expect_config_refused("hidden_size", -32, {"'hidden_size'", "-32"});
  expect_config_refused("hidden_size", uint64_t{1} << 63, {"'hidden_size'", "9223372036854775808"});
  expect_config_refused("hidden_size", nullptr, {"'hidden_size'", "found no such key"});
  expect_config_refused("num_hidden_layers", 1'000'000, {"'num_hidden_layers'", "1000000"});
  expect_config_refused("rms_norm_eps", "small", {"'rms_norm_eps'", "a number"});
  expect_config_refused("tie_word_embeddings", 1, {"'tie_word_embeddings'", "true or false"});
  expect_config_refused("rope_scaling", "linear", {"'rope_scaling'", "an object"});
  expect_config_refused("max_position_embeddings", 0, {"'max_position_embeddings'"});
  expect_config_refused("eos_token_id", "x", {"'eos_token_id'"});
}

TEST_F(BadFolder, ConfigThatDisagreesWithTheWeights) {
  checkpoint.config["hidden_size"] = 64;
  checkpoint.write(folder);
  expect_inspect_refuses({"model.embed_tokens.weight", "expected shape [264, 64]", "found [264, 32]"});
}

TEST_F(BadFolder, GenerationConfigOutsideItsRange) {
  checkpoint.generation_config["temperature"] = -1;
  checkpoint.write(folder);
  expect_inspect_refuses({folder.path("generation_config.json"), "'temperature'", "-1"});
}

TEST_F(BadFolder, MissingTokenizer) {
  std::filesystem::remove(folder.path("tokenizer.json"));
  expect_inspect_refuses({folder.path("tokenizer.json"), "no such file"});
}

TEST_F(BadFolder, TokenizerBeyondTheEmbedding) {
  checkpoint.config["vocab_size"] = 200;
  TinyTensor& rows = checkpoint.tensors["model.embed_tokens.weight"];
  rows.shape[0] = 200;
  rows.values.resize(200 * 32);
  checkpoint.write(folder);
  expect_inspect_refuses({folder.path("tokenizer.json"), "ids up to 258", "only 200 rows"});
}

TEST_F(BadFolder, TokenizerWithWrongTypes) {
  const auto expect_tokenizer_refused = [&](const char* pointer, const ordered_json& value) {
    TinyCheckpoint changed = checkpoint;
    changed.tokenizer[ordered_json::json_pointer(pointer)] = value;
    changed.write(folder);
    SCOPED_TRACE(std::string(pointer) + ": " + value.dump());
    expect_inspect_refuses({folder.path("tokenizer.json")});
  };
  expect_tokenizer_refused("/model", nullptr);
  expect_tokenizer_refused("/model/type", "Unigram");
  expect_tokenizer_refused("/model/vocab", 7);
  expect_tokenizer_refused("/model/vocab/th", "257");
  expect_tokenizer_refused("/model/vocab/th", -1);
  expect_tokenizer_refused("/model/merges", "t h");
  expect_tokenizer_refused("/model/merges/0", "nothing to merge");
  expect_tokenizer_refused("/model/merges/0", ordered_json::array({"t"}));
  expect_tokenizer_refused("/pre_tokenizer/type", "Whitespace");
  expect_tokenizer_refused("/added_tokens", 3);
  expect_tokenizer_refused("/added_tokens/0/id", "0");
}

}  // namespace
}  // namespace ingot::cli_test
