// The LLM API: what callbacks see, how a generation ends, what survives an error.
#include "ingot/llm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_checkpoint.h"

namespace ingot {
namespace {

using cli_test::TempFolder;
using cli_test::TinyCheckpoint;

class Llm : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }
  LLM load(const LoadOptions& options = {}) const { return LLM::load(folder.path(), options); }
  static GenerateOptions greedy(int64_t tokens) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    return options;
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

/// Runs `function` and expects an Error with this code whose message holds `part`.
template <class Function>
void expect_error(ErrorCode code, const std::string& part, const Function& function) {
  try {
    function();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST_F(Llm, CallbackGetsTheTextInPiecesOfWholeCharacters) {
  LLM llm = load();
  std::string pieces;
  GenerateOptions options;
  options.sampling.seed = 3;
  const GenerateResult result = llm.generate("the", options, [&](std::string_view piece) {
    pieces += piece;
    if (!piece.empty()) {
      EXPECT_NE(static_cast<unsigned char>(piece.front()) & 0xC0U, 0x80U);  // no continuation byte
    }
    return true;
  });
  EXPECT_EQ(pieces, result.text);
  EXPECT_EQ(result.tokens.size(), 63U);
  EXPECT_EQ(result.finish, FinishReason::context);
  EXPECT_EQ(result.prompt_tokens, 1);
}

TEST_F(Llm, CallbackEndsTheGeneration) {
  LLM llm = load();
  int pieces = 0;
  const GenerateResult result = llm.generate("the", greedy(40), [&](std::string_view piece) {
    if (!piece.empty()) ++pieces;
    return pieces < 3;
  });
  EXPECT_EQ(result.finish, FinishReason::cancelled);
  EXPECT_EQ(pieces, 3);
  EXPECT_LT(result.tokens.size(), 40U);
  EXPECT_EQ(llm.generate("the", greedy(40)).tokens.size(), 40U);  // and leaves nothing behind
}

TEST_F(Llm, CallbackThatThrowsLeavesTheModelUsable) {
  LLM llm = load();
  for (int i = 0; i < 5; ++i) {
    EXPECT_THROW(
        llm.generate("the", greedy(40), [](std::string_view) -> bool { throw std::runtime_error("full"); }),
        std::runtime_error);
  }
  EXPECT_EQ(llm.generate("the", greedy(40)).tokens.size(), 40U);
}

TEST_F(Llm, SamplingAsUsedHasEveryDefaultFilledIn) {
  checkpoint.generation_config = {{"do_sample", true}, {"temperature", 0.5}, {"top_k", 7},
                                  {"top_p", 0.75},     {"bos_token_id", 0},  {"repetition_penalty", 1.25}};
  checkpoint.write(folder);
  LLM llm = load();
  GenerateOptions options;
  options.max_tokens = 1;
  options.sampling.top_k = 3;
  const SamplingUsed used = llm.generate("the", options).sampling;
  EXPECT_EQ(used.temperature, 0.5F);
  EXPECT_EQ(used.top_k, 3);
  EXPECT_EQ(used.top_p, 0.75F);
  EXPECT_EQ(used.min_p, 0.0F);
  EXPECT_EQ(used.repetition_penalty, 1.25F);
}

TEST_F(Llm, CheckpointThatDoesNotSampleIsGreedy) {
  checkpoint.generation_config = {{"do_sample", false}, {"temperature", 0.5}, {"bos_token_id", 0}};
  checkpoint.write(folder);
  LLM llm = load();
  EXPECT_EQ(llm.generate("the", {}).sampling.temperature, 0.0F);
  EXPECT_EQ(llm.generate("the", {}).tokens, llm.generate("the", greedy(0)).tokens);
}

TEST_F(Llm, SeveralLiveSideBySide) {
  LLM one = load({.compile = {.threads = 1}});
  LLM two = load({.compile = {.threads = 2}, .context = 32});
  const GenerateResult first = one.generate("the", greedy(20));
  EXPECT_EQ(two.generate("the", greedy(20)).tokens, first.tokens);
  EXPECT_EQ(one.generate("the", greedy(20)).tokens, first.tokens);
}

TEST_F(Llm, ErrorsNameTheArgumentAndLeaveTheModelUsable) {
  LLM llm = load();
  const auto refused = [&](std::string_view part, const GenerateOptions& options,
                           std::string_view prompt = "the") {
    expect_error(ErrorCode::invalid_argument, std::string(part), [&] { llm.generate(prompt, options); });
  };
  refused("prompt", {}, "");
  refused("prompt", {}, std::string(64, 'x'));
  refused("max_tokens", {.sampling = {}, .max_tokens = -1, .stop = {}, .ignore_eos = false});
  refused("stop", {.sampling = {}, .max_tokens = 0, .stop = {"a", ""}, .ignore_eos = false});
  GenerateOptions options;
  options.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  refused("temperature", options);
  options = {};
  options.sampling.min_p = 1.5F;
  refused("min_p", options);
  expect_error(ErrorCode::invalid_argument, "window",
               [&] { llm.perplexity("the text", {.window = 65, .stride = 0}); });
  expect_error(ErrorCode::invalid_argument, "cancelled",
               [&] { llm.perplexity("the text", {}, [](int64_t, int64_t) { return false; }); });
  expect_error(ErrorCode::invalid_argument, "bench", [&] { llm.bench({.prompt_tokens = INT64_MAX}); });
  EXPECT_EQ(llm.generate("the", greedy(5)).tokens.size(), 5U);
}

}  // namespace
}  // namespace ingot
