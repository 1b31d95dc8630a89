// What a model takes, told before loading: exact, without reading a weight, with what would fit.
#include "api/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/open.h"
#include "cli/tiny_checkpoint.h"
#include "serve/stepper.h"

namespace ingot {
namespace {

using cli_test::TempFolder;
using cli_test::TinyCheckpoint;
using testing::HasSubstr;

constexpr int64_t kKibi = 1024;
constexpr int64_t kMebi = 1024 * kKibi;

class MemoryPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    checkpoint.config["max_position_embeddings"] = 100'000;
    checkpoint.write(folder);
  }
  MemoryPlan plan(const LoadOptions& options = {}) const { return plan_memory(folder.path(), options); }
  /// The message that refuses the options.
  std::string refusal(const LoadOptions& options) const {
    try {
      plan(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return {};
  }
  LoadOptions capped(int64_t bytes, int64_t context, int64_t sequences) const {
    LoadOptions options{.context = context, .sequences = sequences};
    options.compile.memory["cpu"] = bytes;
    return options;
  }

  TinyCheckpoint checkpoint;
  TempFolder folder;
};

TEST_F(MemoryPlanTest, IsExactlyWhatAStepperTakes) {
  for (const auto& [context, sequences] :
       {std::pair<int64_t, int64_t>{2, 1}, {64, 1}, {1000, 3}, {4096, 17}}) {
    SCOPED_TRACE(context);
    const LoadOptions options{.context = context, .sequences = sequences};
    const MemoryPlan told = plan(options);
    ASSERT_EQ(told.devices.size(), 1U);
    const DeviceMemoryPlan& cpu = told.devices[0];
    const api::Opened opened = api::open(folder.path(), options);
    serve::Stepper stepper(opened.model, opened.devices.devices, serve::Head::tokens,
                           api::stepper_limits(opened.devices, context, sequences), options.compile);
    EXPECT_EQ(cpu.activations + cpu.workspace + cpu.step_inputs,
              static_cast<int64_t>(stepper.runner_bytes()));
    EXPECT_EQ(cpu.kv_cache, stepper.cache().bytes());
    EXPECT_EQ(cpu.token_counts, sequences * TinyCheckpoint::kRows * 4);
    EXPECT_EQ(cpu.weights, opened.model->weight_bytes());
    EXPECT_EQ(told.total(), cpu.weights + cpu.kv_cache + cpu.token_counts + cpu.activations + cpu.workspace +
                                cpu.step_inputs + cpu.program);
    EXPECT_GE(cpu.activations, cpu.activations_live);
    EXPECT_LE(static_cast<double>(cpu.activations), 1.15 * static_cast<double>(cpu.activations_live));
  }
}

TEST_F(MemoryPlanTest, OfALoadedModelIsTheSameButForTheProgram) {
  const LoadOptions options{.context = 320, .sequences = 2};
  const MemoryPlan told = plan(options);
  const MemoryPlan loaded = LLM::load(folder.path(), options).memory();
  ASSERT_EQ(loaded.devices.size(), 1U);
  EXPECT_EQ(loaded.total() - loaded.devices[0].program, told.total() - told.devices[0].program);
  EXPECT_EQ(loaded.context, 320);
  EXPECT_EQ(loaded.sequences, 2);
  EXPECT_GT(loaded.devices[0].program, 0);
}

TEST_F(MemoryPlanTest, CacheGrowsWithContextAndSequencesAndWeightsDoNot) {
  const DeviceMemoryPlan one = plan({.context = 320}).devices[0];
  const DeviceMemoryPlan longer = plan({.context = 640}).devices[0];
  const DeviceMemoryPlan more = plan({.context = 320, .sequences = 3}).devices[0];
  constexpr int64_t kTokenBytes = int64_t{2} * 2 * 2 * 8 * 4;  // k and v, layers, heads, f32
  EXPECT_EQ(longer.kv_cache - one.kv_cache, 320 * kTokenBytes);
  EXPECT_EQ(more.kv_cache - one.kv_cache, kTokenBytes * 2 * 320);
  EXPECT_EQ(one.weights, longer.weights);
  EXPECT_EQ(one.weights, more.weights);
  EXPECT_EQ(more.token_counts, 3 * one.token_counts);
}

TEST_F(MemoryPlanTest, KnowsTheMachine) {
  const MemoryPlan told = plan();
  EXPECT_EQ(told.devices[0].name, "cpu");
  EXPECT_GT(told.devices[0].capacity, 64 * kMebi);
  EXPECT_GT(told.devices[0].available, 0);
  EXPECT_LE(told.devices[0].available, told.devices[0].capacity);
  EXPECT_EQ(told.largest_context, 100'000);
  EXPECT_EQ(told.most_sequences, kMaxSequences);
}

TEST_F(MemoryPlanTest, RefusalSaysWhatIsNeededWhatThereIsAndWhatWouldFit) {
  const std::string message = refusal(capped(8 * kMebi, 100'000, 4));
  EXPECT_THAT(message,
              testing::MatchesRegex("memory: needs [0-9.]+ MiB at context 100000 with 4 sequences, the "
                                    "cpu has 8.0 MiB \\(the cap\\); context [0-9]+ would fit"));
  EXPECT_THAT(refusal(capped(32 * kMebi, 100'000, 4)),
              testing::MatchesRegex(".*; context [0-9]+ would fit, or 1 sequence at 100000"));
}

TEST_F(MemoryPlanTest, WhatIsSaidToFitDoesAndAPageMoreDoesNot) {
  const std::string message = refusal(capped(32 * kMebi, 100'000, 4));
  const size_t at = message.find("; context ");
  ASSERT_NE(at, std::string::npos) << message;
  const int64_t context = std::stoll(message.substr(at + 10));
  EXPECT_EQ(context % 32, 0);
  const MemoryPlan smaller = plan(capped(32 * kMebi, context, 4));
  EXPECT_EQ(smaller.largest_context, context);
  EXPECT_EQ(smaller.devices[0].capacity, 32 * kMebi);
  EXPECT_THAT(refusal(capped(32 * kMebi, context + 1, 4)), HasSubstr(std::to_string(context) + " would fit"));
  const MemoryPlan fewer = plan(capped(32 * kMebi, 100'000, 1));
  EXPECT_EQ(fewer.most_sequences, 1);
}

TEST_F(MemoryPlanTest, CapBelowTheWeightsSaysThatNothingWouldFit) {
  EXPECT_THAT(refusal(capped(64 * kKibi, 64, 2)), HasSubstr("the weights alone take 93.6 KiB"));
}

TEST_F(MemoryPlanTest, LoadingRefusesTheSame) {
  const LoadOptions options = capped(8 * kMebi, 100'000, 4);
  try {
    LLM::load(folder.path(), options);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), refusal(options));
  }
}

TEST_F(MemoryPlanTest, MorePagesThanACacheCanNumberAreRefused) {
  checkpoint.config["max_position_embeddings"] = 1'000'000'000;
  checkpoint.write(folder);
  EXPECT_THAT(refusal({.context = 1'000'000'000, .sequences = 1024}),
              HasSubstr("sequences: expected at most 1 at context 1000000000, found 1024"));
}

TEST_F(MemoryPlanTest, MissingDeviceIsNoted) {
  LoadOptions options;
  options.compile.devices = {"metal", "cuda", "cpu"};
  const auto notes = plan(options).notes;
  ASSERT_FALSE(notes.empty());  // no build has both
  EXPECT_THAT(notes[0], HasSubstr("is passed over: this build has"));
  EXPECT_EQ(LLM::load(folder.path(), options).notes(), notes);
}

/// A checkpoint whose embedding takes a gibibyte of holes: reading them would make them resident.
class HollowCheckpoint : public MemoryPlanTest {
 protected:
  static constexpr int64_t kRows = 8 << 20;
  static constexpr int64_t kBytes = kRows * 32 * 4;

  /// `pad`: bytes that the header is longer than a multiple of 8, so that every tensor is unaligned.
  void write(size_t pad) {
    checkpoint.config["vocab_size"] = kRows;
    checkpoint.tensors["model.embed_tokens.weight"] = {.shape = {0, 32}, .values = {}};
    checkpoint.write(folder);
    auto header = TinyCheckpoint::header_of(checkpoint.safetensors());
    int64_t offset = 0;
    for (auto& [name, tensor] : header.items()) {
      if (name == "model.embed_tokens.weight") tensor["shape"] = {kRows, 32};
      int64_t bytes = 4;
      for (const auto& length : tensor["shape"]) bytes *= length.get<int64_t>();
      tensor["data_offsets"] = {offset, offset + bytes};
      offset += bytes;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8 + pad, ' ');
    const std::string file = TinyCheckpoint::safetensors(text, "");
    folder.write("model.safetensors", file);
    std::filesystem::resize_file(folder.path("model.safetensors"), file.size() + static_cast<size_t>(offset));
  }

  /// Bytes of the mapped weight file that this process has touched.
  int64_t touched_bytes() const {
    std::ifstream maps("/proc/self/smaps");
    const std::string file = folder.path("model.safetensors");
    bool is_it = false;
    int64_t kib = -1;
    for (std::string line; std::getline(maps, line);) {
      if (line.find('-') < line.find(' ')) is_it = line.ends_with(file);  // "7f00-7f10 r--s … path"
      if (is_it && line.starts_with("Rss:")) kib = std::max<int64_t>(kib, 0) + std::stoll(line.substr(4));
    }
    EXPECT_GE(kib, 0) << "the file is not mapped";
    return kib * kKibi;
  }
};

TEST_F(HollowCheckpoint, IsPlannedWithoutTouchingAWeight) {
  for (const size_t pad : {0U, 1U}) {
    SCOPED_TRACE(pad);
    write(pad);
    const int64_t before = api::resident_bytes();
    const LoadOptions options{.context = 64};
    const api::Opened opened = api::open(folder.path(), options);
    const api::MemoryPlanner planner(*opened.model, opened.devices, options.compile);
    const MemoryPlan told = planner.plan(opened.context, options.sequences);
    EXPECT_GT(told.devices[0].weights, kBytes);
    // The header, and what the system maps beside a page that is read.
    EXPECT_LE(touched_bytes(), 256 * kKibi);
    EXPECT_LE(api::resident_bytes() - before, 16 * kMebi);
  }
}

TEST_F(HollowCheckpoint, TouchingIsSeenByTheTestAbove) {
  write(0);
  const api::Opened opened = api::open(folder.path(), {.context = 64});
  const std::span<const std::byte> bytes = opened.checkpoint->find("model.embed_tokens.weight")->bytes;
  std::byte sum{};
  for (size_t i = 0; i < 4 * kMebi; i += kKibi) sum |= bytes[i];
  EXPECT_EQ(sum, std::byte{});
  EXPECT_GE(touched_bytes(), 4 * kMebi);
}

TEST_F(HollowCheckpoint, UnalignedWeightsGetTheirValuesWhenTheModelLoads) {
  checkpoint = TinyCheckpoint();
  const std::string good = checkpoint.safetensors();
  checkpoint.write(folder);
  GenerateOptions greedy;
  greedy.sampling.temperature = 0;
  greedy.max_tokens = 20;
  const auto expected = LLM::load(folder.path()).generate("the", greedy).tokens;
  std::string header = TinyCheckpoint::header_of(good).dump();
  header.resize((header.size() + 7) / 8 * 8 + 1, ' ');
  folder.write("model.safetensors", TinyCheckpoint::safetensors(header, TinyCheckpoint::data_of(good)));
  EXPECT_EQ(LLM::load(folder.path()).generate("the", greedy).tokens, expected);
}

}  // namespace
}  // namespace ingot
