// Options and prompts that make no sense: exit code 2 and a message that names the option.
#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

class BadOption : public testing::Test {
 protected:
  void SetUp() override { checkpoint.write(folder); }
  /// `ingot run` with these arguments on a good checkpoint and prompt.
  void expect_run_refuses(std::vector<std::string> arguments, const std::vector<std::string>& parts) const {
    arguments.insert(arguments.begin(), {"run", "-m", folder.path(), "the"});
    std::string line;
    for (const std::string& argument : arguments) line += argument + " ";
    SCOPED_TRACE(line);
    expect_refused(ingot(arguments), parts);
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(BadOption, Unknown) {
  expect_run_refuses({"--colour"}, {"--colour", "ingot run --help"});
  expect_refused(ingot({"dance"}), {"dance", "ingot --help"});
  expect_refused(ingot({}), {"run, inspect, tokenize, perplexity, bench", "ingot --help"});
  expect_refused(ingot({"--colour"}), {"ingot --help"});
  expect_run_refuses({"a second prompt"}, {"a second prompt"});
}

TEST_F(BadOption, NotANumber) {
  for (const char* option :
       {"--max-tokens", "--seed", "--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty",
        "--frequency-penalty", "--presence-penalty", "--threads", "--context"}) {
    expect_run_refuses({option, "many"}, {"many"});
    expect_run_refuses({option}, {option});
    expect_run_refuses({option, ""}, {option});
  }
}

TEST_F(BadOption, NotFinite) {
  for (const char* option : {"--temperature", "--top-p", "--min-p", "--repetition-penalty",
                             "--frequency-penalty", "--presence-penalty"}) {
    expect_run_refuses({option, "nan"}, {"nan"});
    expect_run_refuses({option, "inf"}, {"inf"});
  }
}

TEST_F(BadOption, SamplingOutOfRange) {
  expect_run_refuses({"--temperature", "-0.1"}, {"temperature", "-0.1"});
  expect_run_refuses({"--temperature", "1e9"}, {"temperature", "0 to 1000000"});
  expect_run_refuses({"--top-k", "-1"}, {"top_k", "-1"});
  expect_run_refuses({"--top-k", "99999999999"}, {"99999999999"});
  expect_run_refuses({"--top-k", "1.5"}, {"1.5"});
  expect_run_refuses({"--top-p", "2"}, {"top_p", "0 to 1", "2"});
  expect_run_refuses({"--min-p", "-0.5"}, {"min_p", "-0.5"});
  expect_run_refuses({"--repetition-penalty", "0"}, {"repetition_penalty"});
  expect_run_refuses({"--seed", "-1"}, {"-1"});
  expect_run_refuses({"--seed", "18446744073709551616"}, {"18446744073709551616"});
  expect_run_refuses({"-n", "-5"}, {"-5"});
  expect_run_refuses({"-n", "0"}, {"1 or more", "0"});
  expect_run_refuses({"-n", "99999999999999999999"}, {"99999999999999999999"});
}

TEST_F(BadOption, EmptyStopString) {
  expect_run_refuses({"--stop", ""}, {"stop"});
}

TEST_F(BadOption, Threads) {
  expect_run_refuses({"--threads", "-1"}, {"threads", "-1"});
  expect_run_refuses({"--threads", "1000000"}, {"threads", "1000000"});
}

TEST_F(BadOption, Context) {
  expect_run_refuses({"--context", "65"}, {"context", "2 to 64", "65"});
  expect_run_refuses({"--context", "1"}, {"context", "2 to 64"});
  expect_run_refuses({"--context", "-4"}, {"context", "-4"});
  expect_run_refuses({"--context", "1000000000000000"}, {"context", "2 to 64"});
}

TEST_F(BadOption, Device) {
  expect_run_refuses({"--device", "toaster"}, {"device", "cpu", "toaster"});
}

TEST_F(BadOption, EmptyPrompt) {
  expect_refused(ingot({"run", "-m", folder.path(), ""}), {"prompt", "empty"});
  expect_refused(ingot({"run", "-m", folder.path(), "-"}, ""), {"prompt", "empty"});
}

TEST_F(BadOption, PromptLongerThanTheContext) {
  // A token a byte, and no special ones.
  expect_refused(ingot({"run", "-m", folder.path(), std::string(64, 'x')}),
                 {"prompt: expected at most 63 tokens", "context of 64", "found 64"});
  expect_refused(ingot({"run", "-m", folder.path(), "--context", "32", std::string(32, 'x')}),
                 {"prompt: expected at most 31 tokens", "found 32"});
  expect_refused(ingot({"run", "-m", folder.path(), "-"}, std::string(3'000'000, 'x')), {"found 3000000"});
}

TEST_F(BadOption, NoPromptWhereTheCheckpointHasNoTokenThatBeginsAText) {
  checkpoint.config["bos_token_id"] = nullptr;
  checkpoint.generation_config["bos_token_id"] = nullptr;
  checkpoint.tokenizer_config = nlohmann::ordered_json::object();
  checkpoint.write(folder);
  expect_refused(ingot({"run", "-m", folder.path()}), {"prompt: expected one", "bos_token_id"});
}

TEST_F(BadOption, DecodeOfUnknownIds) {
  for (const char* ids : {"259", "263", "264", "-1", "2147483647", "1,2,999"}) {
    expect_refused(ingot({"tokenize", "-m", folder.path(), "--decode", ids}), {"no token has the id"});
  }
  for (const char* ids : {"x", "1,x,2", "99999999999", ""}) {
    SCOPED_TRACE(ids);
    expect_refused(ingot({"tokenize", "-m", folder.path(), "--decode", ids}), {"--decode"});
  }
}

TEST_F(BadOption, Perplexity) {
  folder.write("text", std::string(200, 'x'));
  folder.write("short", "x");
  const auto expect_perplexity_refuses = [&](std::vector<std::string> arguments,
                                             const std::vector<std::string>& parts) {
    arguments.insert(arguments.begin(), {"perplexity", "-m", folder.path()});
    expect_refused(ingot(arguments), parts);
  };
  expect_perplexity_refuses({}, {"FILE"});
  expect_perplexity_refuses({folder.path("absent")}, {folder.path("absent"), "No such file"});
  expect_perplexity_refuses({folder.path()}, {folder.path(), "directory"});
  expect_perplexity_refuses({folder.path("short")}, {"text", "at least 2 tokens", "found 1"});
  expect_perplexity_refuses({folder.path("text"), "--window", "65"}, {"window", "2 to 64", "65"});
  expect_perplexity_refuses({folder.path("text"), "--window", "-1"}, {"window", "-1"});
  expect_perplexity_refuses({folder.path("text"), "--stride", "-1"}, {"stride", "-1"});
  expect_perplexity_refuses({folder.path("text"), "--window", "8", "--stride", "9"},
                            {"stride", "1 to 8", "9"});
}

TEST_F(BadOption, Bench) {
  const auto expect_bench_refuses = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "-m", folder.path()});
    expect_refused(ingot(arguments), {"bench: expected"});
  };
  expect_bench_refuses({"-p", "64", "-n", "1"});
  expect_bench_refuses({"-p", "0", "-n", "1"});
  expect_bench_refuses({"-p", "8", "-n", "0"});
  expect_bench_refuses({"-p", "-8", "-n", "4"});
  expect_bench_refuses({"-p", "9223372036854775807", "-n", "4"});
  expect_bench_refuses({"-p", "8", "-n", "4", "-r", "0"});
  expect_bench_refuses({"-p", "8", "-n", "4", "-r", "100000"});
}

}  // namespace
}  // namespace ingot::cli_test
