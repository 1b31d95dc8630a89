// The LLM API on GGUF files: the same text as from the folder of the same weights, and models without text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../format/gguf_bytes.h"
#include "cli/tiny_checkpoint.h"
#include "format/gguf_names.h"
#include "format/gguf_rows.h"
#include "ingot/llm.h"

namespace ingot {
namespace {

using cli_test::TempFolder;
using cli_test::TinyCheckpoint;
using cli_test::TinyTensor;
using format::GgufBytes;

enum TokenType : int32_t { kNormal = 1, kControl = 3 };

/// The checkpoint's weights and numbers, with rows in the order of llama.cpp; no tokenizer.
GgufBytes without_text(const TinyCheckpoint& checkpoint) {
  const format::GgufArchitecture& llama = *format::find_gguf_architecture("llama");
  GgufBytes file;
  file.string("general.architecture", "llama");
  for (const format::GgufConfigKey& entry : llama.keys) {
    const std::string key = "llama." + std::string(entry.gguf);
    const auto& value = checkpoint.config.at(std::string(entry.hf));
    if (entry.kind == format::GgufConfigKey::Kind::integer) {
      file.number(key, value.get<uint32_t>());
    } else {
      file.number(key, value.get<float>());
    }
  }
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const auto stored = format::gguf_tensor_name(llama, name);
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.values.data()),
                                 tensor.values.size() * sizeof(float));
    std::string data(bytes);
    if (stored->rows != format::HeadRows::none) {
      const int64_t head_rows = checkpoint.config.at("head_dim").get<int64_t>();
      const size_t head = bytes.size() / static_cast<size_t>(tensor.shape[0] / head_rows);
      for (size_t at = 0; at < bytes.size(); at += head) {
        format::reorder_head(std::as_bytes(std::span(bytes).subspan(at, head)),
                             reinterpret_cast<std::byte*>(data.data()) + at, head_rows,
                             format::RowOrder::to_neighbours);
      }
    }
    file.tensor(stored->name, {tensor.shape.rbegin(), tensor.shape.rend()}, 0, data);
  }
  return file;
}

GgufBytes with_text(const TinyCheckpoint& checkpoint) {
  const auto& model = checkpoint.tokenizer.at("model");
  std::vector<std::string> tokens(model.at("vocab").size());
  for (const auto& [token, id] : model.at("vocab").items()) tokens[id.get<size_t>()] = token;
  std::vector<int32_t> types(tokens.size(), kNormal);
  types[0] = kControl;
  GgufBytes file = without_text(checkpoint);
  file.string("tokenizer.ggml.model", "gpt2")
      .string("tokenizer.ggml.pre", "gpt-2")
      .strings("tokenizer.ggml.tokens", tokens)
      .numbers("tokenizer.ggml.token_type", types)
      .strings("tokenizer.ggml.merges", model.at("merges").get<std::vector<std::string>>())
      .number("tokenizer.ggml.bos_token_id", uint32_t{0})
      .boolean("tokenizer.ggml.add_bos_token", false);
  return file;
}

class LlmOfGguf : public testing::Test {
 protected:
  std::string write(const GgufBytes& file) const {
    folder.write("model.gguf", file.bytes());
    return folder.path("model.gguf");
  }
  static GenerateOptions greedy() {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = 24;
    return options;
  }
  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(LlmOfGguf, TextEqualsThatOfTheFolder) {
  const TempFolder published;
  checkpoint.write(published);
  LLM expected = LLM::load(published.path());
  LLM found = LLM::load(write(with_text(checkpoint)));
  EXPECT_EQ(found.encode("the other\xC3\xA9"), expected.encode("the other\xC3\xA9"));
  EXPECT_EQ(found.generate("the", greedy()).text, expected.generate("the", greedy()).text);
  EXPECT_EQ(found.info().architecture, "llama");
  EXPECT_EQ(found.info().bos, 0);
  EXPECT_EQ(found.info().tokenizer_tokens, TinyCheckpoint::kTokens);
  EXPECT_EQ(found.info().parameters, expected.info().parameters);
  EXPECT_EQ(found.info().tensors.size(), expected.info().tensors.size());
}

TEST_F(LlmOfGguf, FolderOfOneFileIsOpenedByItsPath) {
  write(with_text(checkpoint));
  EXPECT_EQ(LLM::load(folder.path()).info().layers, 2);
}

TEST_F(LlmOfGguf, FileWithoutVocabularyRunsButKnowsNoText) {
  const std::string path = write(without_text(checkpoint).string("tokenizer.ggml.model", "no_vocab"));
  LLM llm = LLM::load(path);
  EXPECT_EQ(llm.info().tokenizer_tokens, 0);
  const BenchResult bench = llm.bench({.prompt_tokens = 8, .generate_tokens = 4, .repetitions = 1});
  EXPECT_GT(bench.decode.tokens_per_second, 0);
  const auto expect_refused = [&](const auto& function) {
    try {
      function();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::unsupported));
      EXPECT_THAT(error.what(), testing::HasSubstr(path + ": the file brings no tokenizer"));
    }
  };
  expect_refused([&] { llm.encode("the"); });
  expect_refused([&] { llm.decode(std::vector<int32_t>{1}); });
  expect_refused([&] { llm.generate("the", greedy()); });
  expect_refused([&] { llm.perplexity("the other"); });
}

TEST_F(LlmOfGguf, TokenizerJsonBesideServesAFileWithoutVocabulary) {
  const std::string path = write(without_text(checkpoint));
  folder.write("tokenizer.json", checkpoint.tokenizer.dump());
  EXPECT_EQ(LLM::load(path).encode("the").size(), 1U);
}

TEST_F(LlmOfGguf, MemoryPlanCountsCopiedRowsAmongTheWeightsOnce) {
  const std::string path = write(without_text(checkpoint));
  const TempFolder published;
  checkpoint.write(published);
  EXPECT_EQ(plan_memory(path).devices[0].weights, plan_memory(published.path()).devices[0].weights);
}

}  // namespace
}  // namespace ingot
