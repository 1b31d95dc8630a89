// ingot run: what goes to standard output and what to standard error, where the prompt comes from, and where
// the text ends.
#include <regex>

#include "cli/expect.h"
#include "cli/storyteller.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using testing::HasSubstr;

class Run : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }
  Result run(std::vector<std::string> arguments,
             const std::optional<std::string>& input = std::nullopt) const {
    arguments.insert(arguments.begin(), {"run", "-m", folder.path()});
    return ingot(arguments, input);
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST(Story, NoPromptAndNoInputTellsAStoryFromTheCheckpointThatShips) {
  const Result result = ingot({"run", "-n", "40", "--seed", "7"});
  expect_success(result);
  EXPECT_GT(std::count(result.out.begin(), result.out.end(), ' '), 15) << result.out;
  EXPECT_THAT(result.err, HasSubstr("1 prompt + 40 generated tokens (length)"));
}

TEST(Story, GreedyTextAndIdsAreThoseOfPyTorch) {
  const nlohmann::json greedy = storyteller_reference().at("greedy");
  const auto prompt = greedy.at("prompt").get<std::string>();
  const auto text = greedy.at("text").get<std::string>();
  const std::string count = std::to_string(greedy.at("ids").size());
  // The reference is the model alone: no sampling, no penalties.
  const Result result = ingot(
      {"run", "-m", storyteller(), prompt, "-n", count, "--temperature", "0", "--repetition-penalty", "1"});
  expect_success(result);
  EXPECT_EQ(result.out, text + "\n");

  const Result prompt_ids = ingot({"tokenize", "-m", storyteller(), "--json", prompt});
  EXPECT_EQ(nlohmann::json::parse(prompt_ids.out), greedy.at("prompt_ids"));
  const Result ids = ingot({"tokenize", "-m", storyteller(), "--json", "--no-special", text});
  EXPECT_EQ(nlohmann::json::parse(ids.out), greedy.at("ids"));
}

TEST_F(Run, StatisticsGoToStandardErrorAndTextAloneToStandardOutput) {
  const Result result = run({"the", "-n", "5", "--seed", "3"});
  expect_success(result);
  EXPECT_THAT(result.out, testing::Not(HasSubstr("ingot")));
  const std::regex line(
      R"(ingot: 1 prompt \+ 5 generated tokens \(length\), prefill \d+ tok/s, decode \d+ tok/s, )"
      R"(first token \d+\.\d{3} s, memory [\d.]+ MiB, seed 3, .*\d+ threads?.*\n)");
  EXPECT_TRUE(std::regex_match(result.err, line)) << result.err;
}

TEST_F(Run, QuietWritesNothingToStandardError) {
  const Result result = run({"the", "-n", "5", "-q"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out, "");
}

TEST_F(Run, SameSeedSameTextAnotherSeedAnotherText) {
  const Result first = run({"the", "--seed", "5"});
  expect_success(first);
  EXPECT_EQ(run({"the", "--seed", "5"}).out, first.out);
  EXPECT_NE(run({"the", "--seed", "6"}).out, first.out);
}

TEST_F(Run, PrintedSeedRepeatsTheText) {
  const Result random = run({"the", "-n", "30"});
  std::smatch seed;
  ASSERT_TRUE(std::regex_search(random.err, seed, std::regex("seed (\\d+)"))) << random.err;
  EXPECT_EQ(run({"the", "-n", "30", "--seed", seed[1]}).out, random.out);
}

TEST_F(Run, ThreadsDoNotChangeTheText) {
  const Result one = ingot({"run", "-n", "100", "--seed", "11", "--threads", "1"});
  expect_success(one);
  for (const char* threads : {"2", "3", "7"}) {
    EXPECT_EQ(ingot({"run", "-n", "100", "--seed", "11", "--threads", threads}).out, one.out) << threads;
  }
}

TEST_F(Run, TextEndsBeforeAStopString) {
  // The reference's text: " there was a king who had three sons, and they were all very poor."
  const std::vector<std::string> greedy = {"run", "Once upon a time",     "-n", "16", "--temperature",
                                           "0",   "--repetition-penalty", "1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), greedy.begin(), greedy.end());
    return ingot(more);
  };
  const Result one = with({"--stop", "three sons"});
  expect_success(one);
  EXPECT_EQ(one.out, " there was a king who had \n");
  EXPECT_THAT(one.err, HasSubstr("(stop)"));
  EXPECT_EQ(with({"--stop", "absent", "--stop", "king", "--stop", "a ki"}).out, " there was \n");
  EXPECT_EQ(with({"--stop", "absent"}).out, with({}).out);
}

TEST_F(Run, MaxTokensIsAFinishReason) {
  const Result result = run({"the", "-n", "7"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("1 prompt + 7 generated tokens (length)"));
}

TEST_F(Run, FullContextIsAFinishReason) {
  const Result result = run({"the", "-n", "1000"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("1 prompt + 63 generated tokens (context)"));
  EXPECT_THAT(run({"the", "--context", "16"}).err, HasSubstr("1 prompt + 15 generated tokens (context)"));
}

TEST_F(Run, PromptThatLeavesRoomForOneToken) {
  const Result result = run({std::string(63, 'x')});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("63 prompt + 1 generated tokens (context)"));
}

TEST_F(Run, EndOfTextTokenEndsTheTextUnlessIgnored) {
  checkpoint.generation_config["eos_token_id"] = std::vector<int>(200);
  for (int id = 0; id < 200; ++id) checkpoint.generation_config["eos_token_id"][static_cast<size_t>(id)] = id;
  checkpoint.write(folder);
  EXPECT_THAT(run({"the", "--seed", "1"}).err, HasSubstr("(eos)"));
  EXPECT_THAT(run({"the", "--seed", "1", "--ignore-eos"}).err, HasSubstr("63 generated tokens (context)"));
}

TEST_F(Run, PromptFromStandardInput) {
  const Result argument = run({"the theme", "--seed", "2"});
  expect_success(argument);
  EXPECT_EQ(run({"--seed", "2"}, "the theme").out, argument.out);
  EXPECT_EQ(run({"-", "--seed", "2"}, "the theme").out, argument.out);
  // An argument counts where both are there.
  EXPECT_EQ(run({"the theme", "--seed", "2"}, "another").out, argument.out);
}

TEST_F(Run, NothingOnStandardInputIsNoPrompt) {
  const Result story = run({"--seed", "2"});
  expect_success(story);
  EXPECT_EQ(run({"--seed", "2"}, "").out, story.out);
  Process closed({"run", "-m", folder.path(), "--seed", "2"}, {.input = Streams::Input::closed});
  EXPECT_EQ(closed.finish().out, story.out);
}

TEST_F(Run, BytesThatAreNoUtf8AreReadAsReplacementCharacters) {
  const Result result = run({"-", "--seed", "2"}, std::string("a\xff\xc3(\0b", 6));
  expect_success(result);
  EXPECT_EQ(result.out, run({"-", "--seed", "2"}, std::string("a\uFFFD\uFFFD(\0b", 10)).out);
}

TEST_F(Run, RowsOfLogitsWithoutATokenSpellNothing) {
  // All weight on the rows that pad the embedding.
  TinyTensor& rows = checkpoint.tensors["model.embed_tokens.weight"];
  checkpoint.config["tie_word_embeddings"] = false;
  TinyTensor head = rows;
  std::fill(head.values.begin(), head.values.end(), 0.0F);
  checkpoint.tensors["lm_head.weight"] = head;
  checkpoint.write(folder);
  // All logits are 0: every row is as likely, 5 of 264 are padding.
  for (const char* seed : {"1", "2", "3", "4", "5"}) expect_success(run({"the", "--seed", seed}));
}

TEST_F(Run, ChatTemplateIsSaidToBeLeftOut) {
  EXPECT_THAT(run({"the", "-n", "1"}).err, testing::Not(HasSubstr("chat template")));
  checkpoint.tokenizer_config["chat_template"] = "{{ messages }}";
  checkpoint.write(folder);
  const Result result = run({"the", "-n", "1"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("has a chat template"));
  EXPECT_THAT(result.out, testing::Not(HasSubstr("chat template")));
}

TEST_F(Run, ConversationContinuesTheText) {
  // Greedy: what the first line gave is the start of what the second continues.
  const std::vector<std::string> options = {"run", "-m", folder.path(),   "-i",
                                            "-n",  "4",  "--temperature", "0"};
  const Result result = ingot(options, "the\n\n/new\nthe\n");
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("1 prompt + 4 generated"));
  EXPECT_THAT(result.err, HasSubstr("prompt + 4 generated tokens (length)"));
  const Result once = ingot({"run", "-m", folder.path(), "the", "-n", "4", "--temperature", "0", "-q"});
  EXPECT_TRUE(result.out.starts_with(once.out)) << result.out;
  EXPECT_TRUE(result.out.ends_with(once.out)) << result.out;  // /new starts afresh
  EXPECT_GT(result.out.size(), 2 * once.out.size());
}

TEST_F(Run, ConversationOutgrowsTheContextAndGoesOnAfresh) {
  const Result result =
      ingot({"run", "-m", folder.path(), "-i", "-n", "4"}, std::string(100, 'x') + "\n/new\nthe\n");
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("found 100; /new starts afresh"));
  EXPECT_THAT(result.err, HasSubstr("1 prompt + 4 generated"));
}

TEST_F(Run, ConversationWithABadOptionIsRefused) {
  const Result result = ingot({"run", "-m", folder.path(), "-i", "--top-p", "2"}, "the\nthe\n");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("top_p: expected 0 to 1"));
}

TEST_F(Run, FullDiskIsAnError) {
  Process process({"run", "-m", folder.path(), "the"}, {.output_file = "/dev/full"});
  const Result result = process.finish();
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("ingot: standard output: No space left on device"));
}

TEST_F(Run, ClosedStandardOutputIsAnError) {
  Process process({"run", "-m", folder.path(), "the"}, {.close_output = true});
  const Result result = process.finish();
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("ingot: standard output: Bad file descriptor"));
}

}  // namespace
}  // namespace ingot::cli_test
