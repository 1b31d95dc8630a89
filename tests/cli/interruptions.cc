// Ctrl-C, readers that go away, and files that shrink while they are mapped.
#include <csignal>
#include <filesystem>

#include "cli/expect.h"
#include "cli/storyteller.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using testing::HasSubstr;

/// A run of the storyteller that would take seconds.
const std::vector<std::string> kLongRun = {"run",    "-n", "1000",      "--ignore-eos",
                                           "--seed", "4",  "--threads", "1"};

TEST(Interrupt, EndsTheTextCleanly) {
  const Result whole = ingot({"run", "-n", "100", "--ignore-eos", "--seed", "4", "--threads", "1"});
  Process process(kLongRun);
  ASSERT_TRUE(process.wait_for_output(" "));
  process.interrupt();
  const Result result = process.finish();
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("(cancelled)"));
  ASSERT_FALSE(result.out.empty());
  EXPECT_EQ(result.out.back(), '\n');
  const std::string text = result.out.substr(0, std::min(result.out.size() - 1, whole.out.size() - 1));
  EXPECT_TRUE(whole.out.starts_with(text)) << result.out;
}

TEST(Interrupt, WhileWaitingForAPrompt) {
  Process process({"run", "-"}, {.input = Streams::Input::pipe});
  EXPECT_FALSE(process.wait_for_error("x", 0.2));
  process.interrupt();
  const Result result = process.finish();
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST(Interrupt, EndsAContinuationAndThenTheConversation) {
  Process process({"run", "-i", "--ignore-eos", "--threads", "1", "-n", "900"},
                  {.input = Streams::Input::pipe});
  process.write("Once upon a time\n");
  ASSERT_TRUE(process.wait_for_output(" "));
  process.interrupt();
  ASSERT_TRUE(process.wait_for_error("(cancelled)"));
  EXPECT_FALSE(process.wait_for_error("never written", 0.2));  // back at the prompt
  process.interrupt();
  const Result result = process.finish();
  EXPECT_EQ(result.code, 130) << result.err;
}

TEST(Interrupt, EndsPerplexity) {
  Process process(
      {"perplexity", "--threads", "1", "--stride", "1", INGOT_SOURCE_DIR "/tests/data/fairytales-valid.txt"});
  EXPECT_FALSE(process.wait_for_error("x", 1));
  process.interrupt();
  const Result result = process.finish(30);
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST(Interrupt, EndsBench) {
  Process process({"bench", "--threads", "1", "-r", "1000"});
  EXPECT_FALSE(process.wait_for_output("x", 1));
  process.interrupt();
  const Result result = process.finish(30);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, 130) << result.err;
}

TEST(Reader, ThatGoesAwayEndsTheProgram) {
  Process process(kLongRun);
  ASSERT_TRUE(process.wait_for_output(" "));
  process.close_output();
  const Result result = process.finish(30);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.signal, SIGPIPE);  // as of every program in a pipe; a shell says 141
}

/// Truncates a weight file of a copied storyteller while a conversation waits for its next line.
TEST(ShrinkingFile, IsNamedAtTheNextStep) {
  const TempFolder folder;
  std::filesystem::copy(storyteller(), folder.path());
  Process process({"run", "-m", folder.path(), "-i", "-n", "2"}, {.input = Streams::Input::pipe});
  process.write("Once\n");
  ASSERT_TRUE(process.wait_for_error("2 generated"));
  const std::string file = folder.path("model-00002-of-00003.safetensors");
  std::filesystem::resize_file(file, 5);
  process.write("upon\n");
  const Result result = process.finish();
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.signal, 0);
  EXPECT_THAT(result.err, HasSubstr(file + ": the file shrank while it was in use: expected 1"));
  EXPECT_THAT(result.err, HasSubstr("found 5"));
}

TEST(ShrinkingFile, InTheMiddleOfAStepIsNamedInPlaceOfABareBusError) {
  const TempFolder folder;
  std::filesystem::copy(storyteller(), folder.path());
  // One long prefill: no step begins for most of the run, so that the read itself fails or the next step
  // notices.
  Process process({"perplexity", "-m", folder.path(), "--threads", "1",
                   INGOT_SOURCE_DIR "/tests/data/fairytales-valid.txt"});
  EXPECT_FALSE(process.wait_for_error("x", 1));
  for (const char* name : {"1", "2", "3"}) {
    std::filesystem::resize_file(folder.path("model-0000" + std::string(name) + "-of-00003.safetensors"), 5);
  }
  const Result result = process.finish();
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.signal, 0);
  EXPECT_THAT(result.err, HasSubstr(folder.path()));
  EXPECT_THAT(result.err, HasSubstr("shrank while it was in use"));
}

}  // namespace
}  // namespace ingot::cli_test
