#include "format/gguf_checkpoint.h"

#include <array>
#include <cmath>

#include "fixtures.h"
#include "format/generation_config.h"
#include "format/gguf_rows.h"
#include "format/rope_config.h"
#include "gguf_bytes.h"

namespace ingot::format {
namespace {

using testing::ElementsAre;

/// A file of the keys that every model needs. Width 8, 2 heads of 4 dimensions, 1 for keys.
GgufBytes metadata(const std::string& architecture) {
  GgufBytes file;
  file.string("general.architecture", architecture);
  const auto key = [&](const std::string& name) { return architecture + "." + name; };
  file.number(key("context_length"), uint32_t{64})
      .number(key("embedding_length"), uint32_t{8})
      .number(key("block_count"), uint32_t{1})
      .number(key("feed_forward_length"), uint32_t{16})
      .number(key("attention.head_count"), uint32_t{2});
  if (architecture == "gpt2") {
    file.number(key("attention.layer_norm_epsilon"), 1e-5F);
  } else {
    file.number(key("attention.head_count_kv"), uint32_t{1})
        .number(key("attention.layer_norm_rms_epsilon"), 1e-6F);
  }
  return file;
}

GgufBytes& embeddings(GgufBytes& file) {
  return file.tensor("token_embd.weight", {8, 3}, 0, std::string(96, 0));
}

std::string bytes_from(int first, size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(first + static_cast<int>(i)));
  return bytes;
}

class GgufCheckpointTest : public testing::Test {
 protected:
  GgufCheckpoint open(GgufBytes file) {
    return GgufCheckpoint::open(folder.write("m.gguf", embeddings(file).bytes()));
  }
  Config config(GgufBytes file) { return open(std::move(file)).config(); }
  void expect_refused(ErrorCode code, const GgufBytes& file, const std::string& message) {
    expect_error(code, folder.path() + "/m.gguf: " + message, [&] { open(file); });
  }
  TempFolder folder;
};

TEST_F(GgufCheckpointTest, MetadataReadLikeConfigJson) {
  const Config found = config(metadata("llama").number("llama.rope.freq_base", 500000.0F));
  EXPECT_EQ(found.get_string("model_type"), "llama");
  EXPECT_EQ(found.get_int("vocab_size", 0, 99), 3);
  EXPECT_EQ(found.get_int("hidden_size", 0, 99), 8);
  EXPECT_EQ(found.get_int("num_hidden_layers", 0, 99), 1);
  EXPECT_EQ(found.get_int("num_attention_heads", 0, 99), 2);
  EXPECT_EQ(found.get_int("num_key_value_heads", 0, 99), 1);
  EXPECT_EQ(found.get_int("head_dim", 0, 99), 4);
  EXPECT_EQ(found.get_int("intermediate_size", 0, 99), 16);
  EXPECT_EQ(found.get_int("max_position_embeddings", 0, 99), 64);
  EXPECT_EQ(found.get_double("rms_norm_eps", 0, 1), 1e-6);  // the decimal, not the f32
  EXPECT_EQ(found.get_double("rope_theta", 0, 1e9), 500000);
  EXPECT_TRUE(found.get_bool("tie_word_embeddings"));
  EXPECT_FALSE(found.get_bool("attention_bias"));
}

TEST_F(GgufCheckpointTest, OutputTensorUntiesTheHead) {
  EXPECT_FALSE(config(metadata("llama").tensor("output.weight", {8, 3}, 0, std::string(96, 0)))
                   .get_bool("tie_word_embeddings"));
}

TEST_F(GgufCheckpointTest, BiasesAreFoundByTheirTensors) {
  const Config found = config(metadata("llama")
                                  .tensor("blk.0.attn_q.bias", {8}, 0, std::string(32, 0))
                                  .tensor("blk.0.ffn_gate.bias", {16}, 0, std::string(64, 0)));
  EXPECT_TRUE(found.get_bool("attention_bias"));
  EXPECT_TRUE(found.get_bool("mlp_bias"));
}

TEST_F(GgufCheckpointTest, TensorsComeUnderHuggingFacesNames) {
  const GgufCheckpoint checkpoint =
      open(metadata("qwen3").tensor("blk.0.attn_q_norm.weight", {4}, 0, std::string(16, 0)));
  EXPECT_NE(checkpoint.find("model.embed_tokens.weight"), nullptr);
  EXPECT_NE(checkpoint.find("model.layers.0.self_attn.q_norm.weight"), nullptr);
  EXPECT_EQ(checkpoint.find("token_embd.weight"), nullptr);
  ASSERT_NE(checkpoint.gguf(), nullptr);
  EXPECT_EQ(checkpoint.gguf()->get_string("general.architecture"), "qwen3");
}

TEST_F(GgufCheckpointTest, RowsOfLlamasQueriesAndKeysArePutBack) {
  // Rows of 2 f16; heads of 4 rows. The file's neighbours are the halves of a head.
  const auto file = [](const std::string& architecture) {
    return metadata(architecture)
        .tensor("blk.0.attn_q.weight", {2, 8}, 1, bytes_from(0, 32))
        .tensor("blk.0.attn_q.bias", {8}, 1, bytes_from(0, 16))
        .tensor("blk.0.attn_k.weight", {2, 4}, 1, bytes_from(0, 16));
  };
  const auto rows = [](const Checkpoint& checkpoint, const std::string& name, size_t row_bytes) {
    std::vector<int> firsts;
    const Tensor* tensor = checkpoint.find("model.layers.0.self_attn." + name);
    for (size_t at = 0; at < tensor->bytes.size(); at += row_bytes) {
      firsts.push_back(std::to_integer<int>(tensor->bytes[at]) / static_cast<int>(row_bytes));
    }
    return firsts;
  };
  const GgufCheckpoint llama = open(file("llama"));
  EXPECT_THAT(rows(llama, "q_proj.weight", 4), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(rows(llama, "q_proj.bias", 2), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(rows(llama, "k_proj.weight", 4), ElementsAre(0, 2, 1, 3));
  const GgufCheckpoint qwen = open(file("qwen2"));
  EXPECT_THAT(rows(qwen, "q_proj.weight", 4), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST_F(GgufCheckpointTest, QuantisedRowsMoveAsTheyAre) {
  std::string blocks;
  for (char row = 0; row < 8; ++row) blocks += std::string(34, row);
  const GgufCheckpoint checkpoint = open(metadata("llama").tensor("blk.0.attn_q.weight", {32, 8}, 8, blocks));
  const Tensor* tensor = checkpoint.find("model.layers.0.self_attn.q_proj.weight");
  for (size_t row = 0; row < 8; ++row) {
    const std::array<int, 8> expected = {0, 2, 1, 3, 4, 6, 5, 7};
    for (size_t i = 0; i < 34; ++i) {
      ASSERT_EQ(std::to_integer<int>(tensor->bytes[row * 34 + i]), expected[row]) << row << " " << i;
    }
  }
}

TEST_F(GgufCheckpointTest, CopiesLeftForLaterAreMadeOnce) {
  GgufBytes file = metadata("llama").tensor("blk.0.attn_k.weight", {2, 4}, 1, bytes_from(1, 16));
  const std::string path = folder.write("m.gguf", embeddings(file).bytes());
  GgufCheckpoint checkpoint = GgufCheckpoint::open(path, Copies::later);
  const Tensor* tensor = checkpoint.find("model.layers.0.self_attn.k_proj.weight");
  const std::byte* address = tensor->bytes.data();
  EXPECT_EQ(checkpoint.owner(*tensor).get(), address);
  checkpoint.make_copies();
  EXPECT_EQ(tensor->bytes.data(), address);
  EXPECT_EQ(std::to_integer<int>(tensor->bytes[4]), 9);
  checkpoint.make_copies();
  EXPECT_EQ(std::to_integer<int>(tensor->bytes[4]), 9);
}

TEST_F(GgufCheckpointTest, RowsThatDoNotSplitIntoHeadsAreRefused) {
  expect_refused(
      ErrorCode::invalid_file, metadata("llama").tensor("blk.0.attn_q.weight", {2, 6}, 1, bytes_from(0, 24)),
      "tensor 'blk.0.attn_q.weight': expected an even number of rows for each of 2 heads, found 6");
}

TEST_F(GgufCheckpointTest, RopeScalingsAreRead) {
  const auto rope = [&](GgufBytes file) { return read_rope_config(config(std::move(file))); };
  EXPECT_EQ(rope(metadata("llama")).kind, RopeConfig::Kind::standard);
  EXPECT_EQ(rope(metadata("llama").string("llama.rope.scaling.type", "none")).kind,
            RopeConfig::Kind::standard);
  EXPECT_EQ(rope(metadata("llama").number("llama.rope.scaling.factor", 0.0F)).kind,
            RopeConfig::Kind::standard);

  for (const char* key : {"qwen2.rope.scaling.factor", "qwen2.rope.scale_linear"}) {
    const RopeConfig linear = rope(metadata("qwen2").number(key, 1.1F));
    EXPECT_EQ(linear.kind, RopeConfig::Kind::linear);
    EXPECT_EQ(linear.factor, 1.1);
  }

  const RopeConfig yarn = rope(metadata("qwen2")
                                   .string("qwen2.rope.scaling.type", "yarn")
                                   .number("qwen2.rope.scaling.factor", 4.0F)
                                   .number("qwen2.rope.scaling.original_context_length", uint32_t{16})
                                   .number("qwen2.rope.scaling.yarn_beta_fast", 16.0F)
                                   .number("qwen2.rope.scaling.attn_factor", 0.5F));
  EXPECT_EQ(yarn.kind, RopeConfig::Kind::yarn);
  EXPECT_EQ(yarn.factor, 4);
  EXPECT_EQ(yarn.original_max_position, 16);
  EXPECT_EQ(yarn.beta_fast, 16);
  EXPECT_DOUBLE_EQ(yarn.attention_scale(), 0.5 * (1 + 0.1 * std::log(4.0)));

  const std::string freqs = little_endian(1.0F) + little_endian(8.0F);
  const RopeConfig divisors = rope(metadata("llama").tensor("rope_freqs.weight", {2}, 0, freqs));
  EXPECT_EQ(divisors.kind, RopeConfig::Kind::divisors);
  EXPECT_THAT(divisors.divisors, ElementsAre(1.0F, 8.0F));
}

TEST_F(GgufCheckpointTest, RopeSettingsThatDoNotFitAreRefused) {
  const auto unsupported = [&](const GgufBytes& file, const std::string& message) {
    expect_refused(ErrorCode::unsupported, file, message);
  };
  unsupported(metadata("llama").string("llama.rope.scaling.type", "longrope"),
              "key 'llama.rope.scaling.type': 'longrope' is not supported; supported are none, linear, yarn");
  unsupported(metadata("llama").number("llama.rope.scaling.attn_factor", 2.0F),
              "key 'llama.rope.scaling.attn_factor': expected 1 without yarn, found 2");
  unsupported(metadata("llama").number("llama.rope.scaling.yarn_log_multiplier", 0.1F),
              "key 'llama.rope.scaling.yarn_log_multiplier': not known");
  unsupported(metadata("llama").number("llama.rope.dimension_count", uint32_t{2}),
              "key 'llama.rope.dimension_count': expected 4 as a head has dimensions, found 2");
  unsupported(metadata("qwen2")
                  .string("qwen2.rope.scaling.type", "yarn")
                  .number("qwen2.rope.scaling.factor", 4.0F)
                  .number("qwen2.rope.scaling.yarn_ext_factor", 0.5F),
              "key 'qwen2.rope.scaling.yarn_ext_factor': expected 1, found 0.5");
  expect_refused(ErrorCode::invalid_file, metadata("llama").string("llama.rope.scaling.type", "yarn"),
                 "key 'llama.rope.scaling.factor': expected a number between");
  const std::string freqs = little_endian(1.0F) + little_endian(0.0F);
  expect_refused(ErrorCode::invalid_file, metadata("llama").tensor("rope_freqs.weight", {2}, 0, freqs),
                 "tensor 'rope_freqs.weight': expected finite numbers above 0, found 0");
  expect_refused(ErrorCode::invalid_file, metadata("llama").tensor("rope_freqs.weight", {4}, 1, freqs),
                 "tensor 'rope_freqs.weight': expected 2 numbers of f32, found f16 of shape [4]");
  unsupported(metadata("llama")
                  .number("llama.rope.scaling.factor", 2.0F)
                  .tensor("rope_freqs.weight", {2}, 0, little_endian(1.0F) + little_endian(8.0F)),
              "key 'llama.rope.scaling.type': 'linear' together with tensor 'rope_freqs.weight'");
}

TEST_F(GgufCheckpointTest, PartOfAHeadMayRotateWhereRowsAreKept) {
  const Config found = config(metadata("qwen2").number("qwen2.rope.dimension_count", uint32_t{2}));
  EXPECT_EQ(found.get_double("partial_rotary_factor", 0, 1), 0.5);
}

TEST_F(GgufCheckpointTest, SlidingWindowMakesALlamaAMistral) {
  const Config mistral = config(metadata("llama").number("llama.attention.sliding_window", uint32_t{7}));
  EXPECT_EQ(mistral.get_string("model_type"), "mistral");
  EXPECT_EQ(mistral.get_int("sliding_window", 0, 99), 7);
}

TEST_F(GgufCheckpointTest, ArchitecturesAndFilesThatAreNoModelAreUnsupported) {
  expect_refused(
      ErrorCode::unsupported, metadata("mamba"),
      "key 'general.architecture': 'mamba' is not supported; supported are gpt2, llama, qwen2, qwen3");
  expect_refused(ErrorCode::unsupported, metadata("llama").string("general.type", "adapter"),
                 "key 'general.type': expected 'model', found 'adapter'");
  const std::string vocabulary = folder.write("v.gguf", metadata("llama").bytes());
  expect_error(ErrorCode::not_found, "v.gguf: tensor 'token_embd.weight' is missing",
               [&] { GgufCheckpoint::open(vocabulary); });
}

TEST_F(GgufCheckpointTest, KeysThatChangeTheComputationAreUnsupported) {
  const auto unsupported = [&](const GgufBytes& file, const std::string& message) {
    expect_refused(ErrorCode::unsupported, file, message);
  };
  unsupported(metadata("llama").number("llama.expert_count", uint32_t{8}),
              "key 'llama.expert_count': mixtures of experts are not supported");
  unsupported(metadata("llama").number("llama.logit_scale", 2.0F),
              "key 'llama.logit_scale': not known, and it may change what the model computes");
  unsupported(metadata("llama").boolean("llama.attention.causal", false),
              "key 'llama.attention.causal': expected true");
  unsupported(metadata("llama").number("llama.attention.value_length", uint32_t{2}),
              "key 'llama.attention.value_length': expected 4 as key_length, found 2");
  unsupported(metadata("qwen2").number("qwen2.pooling_type", uint32_t{3}), "key 'qwen2.pooling_type'");
  unsupported(metadata("llama").number("general.quantization_version", uint32_t{1}),
              "key 'general.quantization_version': expected 2, found 1");
  unsupported(metadata("llama").string("llama.tensor_data_layout", "other"),
              "key 'llama.tensor_data_layout'");
  unsupported(metadata("gpt2").string("gpt2.rope.scaling.type", "none"), "key 'gpt2.rope.scaling.type'");
  // Harmless: what converters write of dense models.
  EXPECT_NO_THROW(open(metadata("llama")
                           .number("llama.expert_count", uint32_t{0})
                           .number("llama.vocab_size", uint32_t{3})
                           .boolean("llama.rope.scaling.finetuned", true)));
}

TEST_F(GgufCheckpointTest, MissingAndContradictoryKeysAreNamed) {
  GgufBytes empty;
  empty.string("general.architecture", "llama");
  expect_refused(
      ErrorCode::invalid_file, empty,
      "key 'llama.context_length': expected an integer between 1 and 1099511627776, found no such key");
  expect_refused(ErrorCode::invalid_file, metadata("llama").number("llama.vocab_size", uint32_t{4}),
                 "key 'llama.vocab_size': expected 3 as 'token_embd.weight' has rows, found 4");
}

TEST_F(GgufCheckpointTest, TokenIdsAndSamplingBecomeTheGenerationConfig) {
  const GgufCheckpoint checkpoint = open(metadata("llama")
                                             .number("tokenizer.ggml.bos_token_id", uint32_t{1})
                                             .number("tokenizer.ggml.eos_token_id", uint32_t{2})
                                             .number("tokenizer.ggml.eot_token_id", uint32_t{0})
                                             .number("tokenizer.ggml.eom_token_id", uint32_t{2})
                                             .number("tokenizer.ggml.padding_token_id", UINT32_MAX)
                                             .number("general.sampling.temp", 0.7F)
                                             .number("general.sampling.top_k", int32_t{20}));
  const GenerationConfig found = read_generation_config(checkpoint.generation_config(), checkpoint.config());
  EXPECT_EQ(found.bos_token_id, 1);
  EXPECT_THAT(found.eos_token_ids, ElementsAre(2, 0));
  EXPECT_EQ(found.pad_token_id, std::nullopt);
  EXPECT_TRUE(found.do_sample);
  EXPECT_EQ(found.temperature, 0.7);
  EXPECT_EQ(found.top_k, 20);

  const GgufCheckpoint silent = open(metadata("llama"));
  EXPECT_EQ(read_generation_config(silent.generation_config(), silent.config()), GenerationConfig());
}

TEST_F(GgufCheckpointTest, Gpt2HasItsOwnKeys) {
  const Config found = config(metadata("gpt2"));
  EXPECT_EQ(found.get_int("n_embd", 0, 99), 8);
  EXPECT_EQ(found.get_int("n_inner", 0, 99), 16);
  EXPECT_EQ(found.get_int("n_positions", 0, 99), 64);
  EXPECT_EQ(found.get_double("layer_norm_epsilon", 0, 1), 1e-5);
  EXPECT_EQ(found.get_string("activation_function"), "gelu_new");
}

TEST(GgufRows, OrdersAreInverse) {
  const std::string head = bytes_from(0, 24);
  std::string neighbours(24, 0);
  std::string back(24, 0);
  const auto at = [](std::string& text) { return reinterpret_cast<std::byte*>(text.data()); };
  reorder_head(std::as_bytes(std::span(head)), at(neighbours), 8, RowOrder::to_neighbours);
  EXPECT_EQ(neighbours.substr(0, 6), bytes_from(0, 3) + bytes_from(12, 3));
  reorder_head(std::as_bytes(std::span(neighbours)), at(back), 8, RowOrder::to_halves);
  EXPECT_EQ(back, head);
}

}  // namespace
}  // namespace ingot::format
