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

  /// Whether this build has the device, as `run --help` lists them.
  static bool has_device(const std::string& name) {
    const std::string help = ingot({"run", "--help"}).out;
    const size_t list = help.find("this build has: ");
    EXPECT_NE(list, std::string::npos);
    return help.substr(list, help.find('\n', list) - list).find(name) != std::string::npos;
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
        "--frequency-penalty", "--presence-penalty", "--threads", "--context", "--sequences"}) {
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
  expect_run_refuses({"--device", "toaster"}, {"device", "cpu, cuda, metal", "'toaster'"});
  expect_run_refuses({"--device", "cpu,toaster"}, {"device", "'toaster'"});
  expect_run_refuses({"--device", "cpu,cpu"}, {"device", "each device once", "'cpu' twice"});
  for (const char* list : {"", ",", "cpu,", ",cpu", "cuda,,cpu"}) {
    expect_run_refuses({"--device", list}, {"--device: expected NAME[,NAME]", list});
  }
  expect_run_refuses({"--device"}, {"--device"});
}

TEST_F(BadOption, NoDeviceIsLeft) {
  // No build has both.
  expect_run_refuses({"--device", "cuda,metal", "--strict"}, {"device", "strict"});
  for (const char* device : {"cuda", "metal"}) {
    if (has_device(device)) continue;
    expect_run_refuses({"--device", device}, {"device", device, "this build has"});
  }
}

TEST_F(BadOption, StrictRefusesADeviceThatIsMissing) {
  for (const char* device : {"cuda", "metal"}) {
    if (has_device(device)) continue;
    expect_run_refuses({"--device", std::string(device) + ",cpu", "--strict"},
                       {"device", device, "this build has", "strict"});
  }
}

TEST_F(BadOption, Route) {
  for (const char* text : {"", "matmul", "matmul=", "=5", "matmul=x", "matmul=-5", "matmul=5.5", "matmul=5,",
                           "matmul=9223372036854775808", "matmul=5x", "matmul= 5"}) {
    expect_run_refuses({"--route", text}, {"--route: expected OP=N", text});
  }
  expect_run_refuses({"--route", "matmul=1,matmul=2"}, {"--route", "each op once", "matmul=2"});
  expect_run_refuses({"--route", "matmul=1", "--route", "matmul=2"}, {"--route", "each op once"});
  expect_run_refuses({"--route", "teleport=5"}, {"route", "linear_add_gelu, ", "'teleport'"});
}

TEST_F(BadOption, Layers) {
  for (const char* text : {"", "0-1", "0-1=", "=cpu", "-1=cpu", "0-=cpu", "a-b=cpu", "0-1-2=cpu", "0--1=cpu",
                           "0-1=cpu,", "0.5=cpu"}) {
    expect_run_refuses({"--layers", text}, {"--layers: expected FIRST-LAST=NAME", text});
  }
  expect_run_refuses({"--layers", "1-0=cpu"}, {"layers", "1-0"});
  expect_run_refuses({"--layers", "0-1=cpu,1-1=cpu"}, {"layers", "overlap", "0-1 and 1-1"});
  expect_run_refuses({"--layers", "1=cpu", "--layers", "0-1=cpu"}, {"layers", "overlap", "1-1 and 0-1"});
  expect_run_refuses({"--layers", "0-2=cpu"}, {"layers", "0 to 1", "0-2"});
  expect_run_refuses({"--layers", "0-1=toaster"}, {"layers", "cpu)", "'toaster'"});
  expect_run_refuses({"--layers", "0-1=metal"}, {"layers", "cpu)", "'metal'"});  // known, and not here
}

TEST_F(BadOption, Memory) {
  for (const char* text :
       {"", "cpu", "cpu=", "=8GiB", "cpu=GiB", "cpu=8GB", "cpu=8gib", "cpu=-1", "cpu=0", "cpu=0.4", "cpu=nan",
        "cpu=inf", "cpu=1e3", "cpu=8 GiB", "cpu=8GiB,", "cpu=99999999TiB", "cpu=0x10"}) {
    expect_run_refuses({"--memory", text}, {"--memory: expected NAME=SIZE", text});
    if (*text == '\0') continue;  // alone it is a flag of inspect
    expect_refused(ingot({"inspect", "-m", folder.path(), "--memory", text}),
                   {"--memory: expected NAME=SIZE"});
  }
  expect_run_refuses({"--memory"}, {"--memory"});
  expect_run_refuses({"--memory", "cpu=8GiB,cpu=9GiB"}, {"--memory", "each device once", "cpu=9GiB"});
  expect_run_refuses({"--memory", "toaster=8GiB"}, {"memory", "cpu)", "'toaster'"});
}

TEST_F(BadOption, NoFuse) {
  for (const char* list : {"", ",", "all,"}) {
    expect_run_refuses({"--no-fuse", list}, {"--no-fuse: expected PASS[,PASS]", list});
  }
  expect_run_refuses({"--no-fuse", "glu,teleport"}, {"no-fuse", "linear_add, ", "'teleport'"});
  expect_run_refuses({"--no-fuse", "glu", "--no-fuse", "teleport"}, {"no-fuse", "'teleport'"});
}

TEST_F(BadOption, Stats) {
  expect_run_refuses({"--stats=xml"}, {"--stats", "--stats=json", "'xml'"});
}

TEST_F(BadOption, InspectJsonAndTensors) {
  expect_refused(ingot({"inspect", "-m", folder.path(), "--json"}), {"--json", "--memory"});
  expect_refused(ingot({"inspect", "-m", folder.path(), "--memory", "--tensors"}), {"--tensors", "--memory"});
}

TEST_F(BadOption, EveryVerbWithAModelReadsCompileOptions) {
  folder.write("text", std::string(40, 'x'));
  const std::vector<std::vector<std::string>> verbs = {
      {"run", "-m", folder.path(), "the"},
      {"inspect", "-m", folder.path()},
      {"inspect", "--memory", "-m", folder.path()},
      {"tokenize", "-m", folder.path(), "the"},
      {"perplexity", "-m", folder.path(), folder.path("text")},
      {"bench", "-m", folder.path(), "-p", "4", "-n", "2"}};
  for (std::vector<std::string> arguments : verbs) {
    arguments.insert(arguments.end(), {"--device", "toaster"});
    expect_refused(ingot(arguments), {"device", "'toaster'"});
    arguments[arguments.size() - 2] = "--no-fuse";
    expect_refused(ingot(arguments), {"no-fuse", "'toaster'"});
  }
}

TEST_F(BadOption, Sequences) {
  expect_run_refuses({"--sequences", "0"}, {"sequences", "1 to 1024", "0"});
  expect_run_refuses({"--sequences", "1025"}, {"sequences", "1 to 1024", "1025"});
  expect_run_refuses({"--sequences", "-1"}, {"sequences", "-1"});
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
  expect_bench_refuses({"-p", "8", "-n", "4", "-b", "0"});
  expect_bench_refuses({"-p", "8", "-n", "4", "-b", "-1"});
  expect_bench_refuses({"-p", "8", "-n", "4", "--batch", "1025"});
  expect_bench_refuses({"-p", "8", "-n", "4", "--batch", "9223372036854775807"});
  expect_refused(ingot({"bench", "-m", folder.path(), "--batch", "1.5"}), {"--batch", "1.5"});
}

}  // namespace
}  // namespace ingot::cli_test
