// inspect --memory, and what cannot fit; run --stats.
#include <filesystem>

#include "cli/expect.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class Memory : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint.config["max_position_embeddings"] = 100'000;
    checkpoint.write(folder);
  }
  /// `ingot inspect --memory --json` with these arguments.
  json told(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"inspect", "-m", folder.path(), "--memory", "--json"});
    const Result result = ingot(arguments);
    expect_success(result);
    return result.code == 0 ? json::parse(result.out) : json();
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(Memory, TableSaysWhatIsTakenWhatThereIsAndWhatFits) {
  const Result result =
      ingot({"inspect", "-m", folder.path(), "--memory", "--context", "640", "--sequences", "3"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("memory for 3 sequences of 640 tokens\n"));
  for (const char* row : {"weights", "KV cache", "token counts", "activations", "workspace", "step inputs",
                          "program", "total", "device has", "available now"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + row)) << row;
  }
  EXPECT_THAT(result.out, testing::ContainsRegex("one arena, 1\\.[01][0-9] x the most alive at once"));
  EXPECT_THAT(result.out,
              HasSubstr("fits: context 100000 with 3 sequences, or 1024 sequences of context 640"));
}

TEST_F(Memory, JsonAddsUp) {
  const json plan = told({"--context", "640", "--sequences", "3"});
  EXPECT_EQ(plan.at("context"), 640);
  EXPECT_EQ(plan.at("sequences"), 3);
  ASSERT_EQ(plan.at("devices").size(), 1U);
  const json& cpu = plan.at("devices")[0];
  EXPECT_EQ(cpu.at("name"), "cpu");
  int64_t sum = 0;
  for (const char* part :
       {"weights", "kv_cache", "token_counts", "activations", "workspace", "step_inputs", "program"}) {
    EXPECT_GT(cpu.at(part).get<int64_t>(), 0) << part;
    sum += cpu.at(part).get<int64_t>();
  }
  EXPECT_EQ(cpu.at("total"), sum);
  EXPECT_EQ(plan.at("total"), sum);
  // 2 layers, keys and values, 2 heads of 8 dimensions, f32; the pages of three sequences and a spare one.
  EXPECT_EQ(cpu.at("kv_cache"), (3 * 640 + 32) * 2 * 2 * 2 * 8 * 4);
  EXPECT_LE(cpu.at("activations").get<double>(), 1.15 * cpu.at("activations_live").get<double>());
  EXPECT_GE(cpu.at("capacity").get<int64_t>(), cpu.at("available").get<int64_t>());
}

TEST_F(Memory, CapFollowsTheFlagOrStandsAlone) {
  for (const std::vector<std::string>& cap : {std::vector<std::string>{"--memory", "cpu=64MiB"},
                                              {"--memory=cpu=64MiB"},
                                              {"--memory", "cpu=65536KiB"}}) {
    EXPECT_EQ(told(cap).at("devices")[0].at("capacity"), 64 << 20);
    std::vector<std::string> alone = {"inspect", "--json", "-m", folder.path()};
    alone.insert(alone.end(), cap.begin(), cap.end());
    const Result result = ingot(alone);
    expect_success(result);
    EXPECT_EQ(json::parse(result.out).at("devices")[0].at("capacity"), 64 << 20);
  }
}

TEST_F(Memory, WhatCannotFitIsRefusedBeforeLoading) {
  const std::vector<std::string> options = {"--context", "100000",   "--sequences",
                                            "4",         "--memory", "cpu=32MiB"};
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{"inspect", "-m", folder.path(), "--memory"},
        {"inspect", "-m", folder.path()},
        {"run", "-m", folder.path(), "the"},
        {"bench", "-m", folder.path(), "-p", "4", "-n", "2"}}) {
    arguments.insert(arguments.end(), options.begin(), options.end());
    expect_refused(ingot(arguments), {"memory: needs ", " MiB at context 100000 with 4 sequences",
                                      "the cpu has 32.0 MiB (the cap)", "; context ", " would fit",
                                      ", or 1 sequence at 100000"});
  }
}

TEST_F(Memory, AModelLargerThanTheMachineIsRefusedAtOnceAndReadsNothing) {
  // A file of holes: as large as it says, on no disk.
  constexpr int64_t kRows = 1 << 24;
  const int64_t hidden = told({}).at("devices")[0].at("capacity").get<int64_t>() / (2 * kRows) / 8 * 8 + 8;
  checkpoint.config["vocab_size"] = kRows;
  checkpoint.config["hidden_size"] = hidden;
  checkpoint.config["head_dim"] = 8;
  checkpoint.write(folder);
  auto header = TinyCheckpoint::header_of(checkpoint.safetensors());
  int64_t offset = 0;
  for (auto& [name, tensor] : header.items()) {
    auto& shape = tensor["shape"];
    const bool writes_hidden = shape.size() == 1 || name.find("o_proj") != std::string::npos ||
                               name.find("down_proj") != std::string::npos;
    shape[writes_hidden ? 0 : 1] = hidden;
    if (name == "model.embed_tokens.weight") shape[0] = kRows;
    int64_t bytes = 4;
    for (const auto& length : shape) bytes *= length.get<int64_t>();
    tensor["data_offsets"] = {offset, offset + bytes};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::string file = TinyCheckpoint::safetensors(text, "");
  folder.write("model.safetensors", file);
  std::filesystem::resize_file(folder.path("model.safetensors"), file.size() + static_cast<size_t>(offset));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", "-m", folder.path(), "--memory"},
        {"run", "-m", folder.path(), "the"}}) {
    const Result result = ingot(arguments);
    expect_refused(result, {"memory: needs ", " GiB", "the cpu has ", "the weights alone take "});
    EXPECT_LT(result.peak_bytes, 64 << 20);
  }
}

TEST_F(Memory, MissingDevicesAreNotedAndSaidByRun) {
  const json plan = told({"--device", "metal,cuda,cpu"});
  ASSERT_FALSE(plan.at("notes").empty());  // no build has both
  const std::string note = plan.at("notes")[0];
  EXPECT_THAT(note, HasSubstr("is passed over: this build has"));
  const Result result =
      ingot({"run", "-q", "-m", folder.path(), "-n", "3", "--device", "metal,cuda,cpu", "the"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("ingot: " + note + "\n"));
}

TEST_F(Memory, CompileOptionsDoNotChangeTheText) {
  const std::vector<std::string> run = {"run", "-q", "-m", folder.path(), "-n", "20", "--seed", "3", "the"};
  const std::string text = ingot(run).out;
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--route", "linear=100,matmul=0"},
                                                  {"--layers", "0-0=cpu,1=cpu"},
                                                  {"--memory", "cpu=1GiB"},
                                                  {"--strict"},
                                                  {"--sequences", "4"},
                                                  {"--device", "cpu"}}) {
    std::vector<std::string> arguments = run;
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Result result = ingot(arguments);
    expect_success(result);
    EXPECT_EQ(result.out, text) << options[0];
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(Memory, StatsCountStepsLaunchesPagesAndPlans) {
  const Result result =
      ingot({"run", "-q", "-m", folder.path(), "-n", "40", "--ignore-eos", "--stats=json", "the"});
  expect_success(result);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  const json stats = json::parse(result.err);
  EXPECT_EQ(stats.at("steps"), 40);  // one prefill, 39 decode
  const int64_t prefill = stats.at("prefill_step").at("launches");
  const int64_t decode = stats.at("decode_step").at("launches");
  EXPECT_EQ(stats.at("launches"), prefill + 39 * decode);
  EXPECT_LT(2 * decode, stats.at("decode_step").at("unfused").get<int64_t>());  // halved by fusion
  EXPECT_EQ(stats.at("transfers"), 0);
  EXPECT_EQ(stats.at("bytes_moved"), 0);
  EXPECT_EQ(stats.at("kv_cache").at("used"), 0);  // the sequence is gone
  EXPECT_EQ(stats.at("kv_cache").at("peak"), 2);  // 40 tokens were cached, 32 a page
  EXPECT_EQ(stats.at("kv_cache").at("pages"), 128);
  const json& plans = stats.at("plan_cache");
  EXPECT_EQ(plans.at("misses"), 2);  // prefill and decode, compiled when memory was planned
  EXPECT_EQ(plans.at("hits"), 2);
  EXPECT_EQ(plans.at("entries"), 2);
  const json& pool = stats.at("pools").at(0);
  EXPECT_EQ(pool.at("device"), "cpu");
  EXPECT_GT(pool.at("in_use_bytes").get<int64_t>(), 0);
  EXPECT_GE(pool.at("peak_bytes"), pool.at("in_use_bytes"));
  EXPECT_GT(pool.at("misses").get<int64_t>(), 0);
}

TEST_F(Memory, StatsWithoutFusionAreTheUnfusedOnes) {
  const Result result =
      ingot({"run", "-q", "-m", folder.path(), "-n", "3", "--no-fuse", "all", "the", "--stats=json"});
  expect_success(result);
  const json decode = json::parse(result.err).at("decode_step");
  EXPECT_EQ(decode.at("launches"), decode.at("unfused"));
}

TEST_F(Memory, StatsTableFollowsTheText) {
  const Result result = ingot({"run", "-q", "-m", folder.path(), "-n", "3", "--stats", "the"});
  expect_success(result);
  for (const char* row :
       {"statistics\n", "\n  cpu pool ", "\n  KV cache ", "\n  run           3 steps, ", "\n  transfers ",
        "\n  prefill step ", "\n  decode step ", "\n  plan cache    2 hits, 2 misses, 2 entries\n"}) {
    EXPECT_THAT(result.err, HasSubstr(row));
  }
  EXPECT_THAT(result.out, testing::Not(HasSubstr("statistics")));
}

}  // namespace
}  // namespace ingot::cli_test
