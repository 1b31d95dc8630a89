// The graph API: what programs keep from run to run: plans, lengths, states, statistics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "ingot/graph.h"

namespace ingot {
namespace {

Array random_array(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  Array array = Array::empty(DType::f32, shape);
  for (int64_t i = 0; i < array.elements(); ++i)
    array.mutable_data<float>()[i] = static_cast<float>(static_cast<double>(random()) * 0x1p-31 - 1);
  return array;
}

Array integers(const std::vector<int32_t>& values) {
  return Array::from(std::span<const int32_t>(values), Shape{static_cast<int64_t>(values.size())});
}

bool same_bytes(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

/// gelu(x W + b) of rows [T, 64].
Graph gelu_linear() {
  Graph g;
  const Value x = g.input("x", DType::f32, {Dim::any(), 64});
  const Value y = matmul(x, g.constant(random_array({64, 48}, 1))) + g.constant(random_array({48}, 2));
  g.output("y", gelu(y));
  return g;
}

TEST(GraphProgram, ALongerRunPlansAnewAndAShorterOneDoesNot) {
  Program program = gelu_linear().compile({.most = 16});
  const Array x = random_array({100, 64}, 3);
  EXPECT_EQ(program.statistics().most, 16);
  for (int64_t length : {1, 16, 0, 7}) program.run({{"x", x.rows(0, length)}});
  EXPECT_EQ(program.statistics().compiles, 1);
  const Array longest = program.run({{"x", x}})["y"];
  EXPECT_EQ(program.statistics().compiles, 2);
  EXPECT_EQ(program.statistics().most, 128);
  program.run({{"x", x.rows(0, 3)}});
  EXPECT_EQ(program.statistics().compiles, 2);
  EXPECT_EQ(program.statistics().runs, 6);
  EXPECT_EQ(longest.shape(), (Shape{100, 48}));
}

TEST(GraphProgram, ARowsBitsDependOnNoOtherRowAndOnNoLength) {
  const Array x = random_array({100, 64}, 3);
  Graph g = gelu_linear();
  for (int64_t most : {2, 16}) {  // kernels for few rows and for many; both programs grow to 128
    Program program = g.compile({.most = most});
    Program single_thread = g.compile({.most = most, .options = {.threads = 1}});
    const Array all = program.run({{"x", x}})["y"];
    for (int64_t length : {1, 15, 16, 17, 40}) {
      const Array rows = x.rows(100 - length, 100);
      const Array part = program.run({{"x", rows}})["y"];
      EXPECT_TRUE(same_bytes(part, all.rows(100 - length, 100))) << length << " rows, most " << most;
      EXPECT_TRUE(same_bytes(single_thread.run({{"x", rows}})["y"], part))
          << length << " rows, most " << most;
    }
  }
}

TEST(GraphProgram, FusedGivesWhatUnfusedGivesInFewerLaunches) {
  Graph g = gelu_linear();
  Program fused = g.compile({.most = 16});
  Program unfused = g.compile({.most = 16, .options = {.no_fuse = {"all"}}});
  EXPECT_EQ(unfused.statistics().launches, 3);
  EXPECT_EQ(fused.statistics().launches, 1) << fused.to_text();
  EXPECT_EQ(fused.statistics().launches_unfused, 3);
  EXPECT_THAT(fused.to_text(), testing::HasSubstr("linear_add_gelu"));
  EXPECT_EQ(fused.to_text(GraphStage::built), unfused.to_text(GraphStage::built));
  const Array x = random_array({9, 64}, 3);
  const Array a = fused.run({{"x", x}})["y"];
  const Array b = unfused.run({{"x", x}})["y"];
  for (int64_t i = 0; i < a.elements(); ++i) ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 1e-5);
}

TEST(GraphProgram, OutputsOfARunOutliveTheNext) {
  Program program = gelu_linear().compile({.most = 4});
  const Array x = random_array({4, 64}, 3);
  const Array first = program.run({{"x", x}})["y"];
  const Array kept = Array::copy(first.raw(), first.bytes(), first.dtype(), first.shape());
  program.run({{"x", random_array({4, 64}, 4)}});
  EXPECT_TRUE(same_bytes(first, kept));
}

TEST(GraphProgram, RunIntoWritesTheArraysItIsGiven) {
  Graph g;
  const Value x = g.input("x", DType::f32, {Dim::any()});
  g.output("twice", x * 2.0F);
  g.output("x", x);
  Program program = g.compile({.most = 4});
  NamedArrays outputs{{"twice", Array::zeros(DType::f32, {2})}};
  const Array view = outputs.at("twice");
  program.run_into({{"x", Array::from(std::vector<float>{1, 2}, Shape{2})}}, outputs);
  EXPECT_EQ(view.data<float>()[1], 4) << "the same bytes";
  outputs = {{"x", Array::zeros(DType::f32, {1})}, {"twice", Array::zeros(DType::f32, {1})}};
  program.run_into({{"x", Array::from(std::vector<float>{5}, Shape{1})}}, outputs);
  EXPECT_EQ(outputs.at("x").data<float>()[0], 5);
  EXPECT_EQ(outputs.at("twice").data<float>()[0], 10);
}

TEST(GraphProgram, ProgramsOutliveTheirGraphAndMove) {
  std::optional<Program> program;
  {
    Graph g = gelu_linear();
    program.emplace(g.compile({.most = 4}));
  }
  Program moved = std::move(*program);
  program.reset();
  EXPECT_EQ(moved.run({{"x", random_array({2, 64}, 3)}})["y"].shape(), (Shape{2, 48}));
}

TEST(GraphProgram, AGraphMayGrowAfterItWasCompiled) {
  Graph g;
  const Value x = g.input("x", DType::f32, {2});
  g.output("a", x + 1.0F);
  Program first = g.compile();
  g.output("b", x * 3.0F);
  Program second = g.compile();
  const NamedArrays inputs{{"x", Array::from(std::vector<float>{1, 2}, Shape{2})}};
  EXPECT_EQ(first.run(inputs).arrays().size(), 1U);
  EXPECT_EQ(second.run(inputs)["b"].data<float>()[1], 6);
}

TEST(GraphProgram, StatisticsTellMemoryByPurpose) {
  const Program program = gelu_linear().compile({.most = 16});
  const ProgramStatistics s = program.statistics();
  EXPECT_EQ(s.constant_bytes, (64 * 48 + 48) * 4);
  EXPECT_EQ(s.input_bytes, 16 * 64 * 4);
  EXPECT_GE(s.arena_bytes, 16 * 48 * 4);
  EXPECT_EQ(s.state_bytes, 0);
  EXPECT_EQ(s.moved_bytes, 0);
}

TEST(GraphProgram, DevicesThatAreNotHereArePassedOverWithTheirReason) {
  Graph g = gelu_linear();
  Program program = g.compile({.most = 2, .options = {.devices = {"metal", "cpu"}}});
  EXPECT_THAT(program.notes(),
              testing::ElementsAre(testing::MatchesRegex("metal is passed over: this build has .*cpu only")));
  EXPECT_EQ(program.run({{"x", random_array({2, 64}, 3)}})["y"].shape(), (Shape{2, 48}));
  const auto error_of = [&](const CompileOptions& options) {
    try {
      g.compile({.most = 2, .options = options});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unsupported);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error_of({.devices = {"metal", "cpu"}, .strict = true}), testing::HasSubstr("strict"));
  EXPECT_THAT(error_of({.devices = {"metal"}}), testing::HasSubstr("this build has"));
}

/// Attention over a cache of 3 pages of 4 tokens, 2 heads that share 1 key head, of 8 dimensions. One row a
/// run.
struct CachedAttention {
  CachedAttention() {
    const Value q = g.input("q", DType::f32, {Dim::any(), 2, 8});
    const Value k = g.input("k", DType::f32, {Dim::any(), 1, 8});
    const Value v = g.input("v", DType::f32, {Dim::any(), 1, 8});
    const Value slots = g.input("slots", DType::i32, {Dim::any()});
    const AttentionStep step{.seq_start = g.input("seq_start", DType::i32, {2}),
                             .context_len = g.input("context_len", DType::i32, {1}),
                             .block_table = g.input("block_table", DType::i32, {1, 2})};
    const Value keys = kv_write(g.state("keys", DType::f32, {3, 1, 4, 8}), k, slots);
    const Value values = kv_write(g.state("values", DType::f32, {3, 1, 4, 8}), v, slots);
    g.output("y", attention(q, keys, values, step));
  }
  /// Rows first … last of a sequence that lives on pages 2, 1.
  NamedArrays inputs(int64_t first, int64_t last) const {
    const auto rows = static_cast<int32_t>(last - first);
    std::vector<int32_t> slots;
    for (int64_t p = first; p < last; ++p) slots.push_back(static_cast<int32_t>((p < 4 ? 8 : 4) + p % 4));
    return {{"q", q.rows(first, last)},
            {"k", k.rows(first, last)},
            {"v", v.rows(first, last)},
            {"slots", integers(slots)},
            {"seq_start", integers({0, rows})},
            {"context_len", integers({static_cast<int32_t>(last)})},
            {"block_table", integers({2, 1}).reshape({1, 2})}};
  }
  double expected(int64_t row, int64_t head, int64_t d) const {
    double sum = 0;
    double mixed = 0;
    for (int64_t p = 0; p <= row; ++p) {
      double score = 0;
      for (int64_t i = 0; i < 8; ++i)
        score += static_cast<double>(q.data<float>()[(row * 2 + head) * 8 + i]) * k.data<float>()[p * 8 + i];
      const double weight = std::exp(score / std::sqrt(8.0));
      sum += weight;
      mixed += weight * v.data<float>()[p * 8 + d];
    }
    return mixed / sum;
  }
  void expect_rows(const Array& y, int64_t first, int64_t last) const {
    ASSERT_EQ(y.shape(), (Shape{last - first, 2, 8}));
    for (int64_t i = 0; i < y.elements(); ++i)
      ASSERT_NEAR(y.data<float>()[i], expected(first + i / 16, i / 8 % 2, i % 8), 1e-5) << "element " << i;
  }

  Graph g;
  const Array q = random_array({7, 2, 8}, 1);
  const Array k = random_array({7, 1, 8}, 2);
  const Array v = random_array({7, 1, 8}, 3);
};

TEST(GraphProgram, StatesLiveFromRunToRunAndThroughALongerOne) {
  const CachedAttention c;
  Program program = c.g.compile({.most = 1});
  EXPECT_EQ(program.statistics().state_bytes, 2 * 3 * 4 * 8 * 4);
  c.expect_rows(program.run(c.inputs(0, 1))["y"], 0, 1);
  c.expect_rows(program.run(c.inputs(1, 6))["y"], 1, 6);
  EXPECT_EQ(program.statistics().compiles, 2);
  c.expect_rows(program.run(c.inputs(6, 7))["y"], 6, 7);
}

TEST(GraphProgram, AStateIsReadAndWrittenBetweenRuns) {
  const CachedAttention c;
  Program program = c.g.compile({.most = 8});
  program.run(c.inputs(0, 3));
  Array keys = program.state("keys");
  EXPECT_TRUE(same_bytes(keys.rows(2, 3).reshape({4, 8}).rows(0, 3), c.k.rows(0, 3).reshape({3, 8})));
  std::memset(keys.mutable_raw(), 0, keys.bytes());
  Array values = program.state("values");
  std::memset(values.mutable_raw(), 0, values.bytes());
  program.run(c.inputs(0, 3));
  Program other = c.g.compile({.most = 8});
  EXPECT_EQ(other.state("keys").data<float>()[64], 0) << "each program has states of its own";
}

TEST(GraphProgram, AttentionRefusesStepsThatPointOutsideTheCache) {
  const CachedAttention c;
  Program program = c.g.compile({.most = 8});
  const auto with = [&](const char* name, const Array& array) {
    NamedArrays inputs = c.inputs(0, 3);
    inputs[name] = array;
    try {
      program.run(inputs);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(with("slots", integers({0, 12, 1})),
            "kv_write: slots: expected elements of input 'slots' in [0, 12), found 12 at element 1");
  EXPECT_EQ(
      with("block_table", integers({3, 0}).reshape({1, 2})),
      "attention: block_table: expected elements of input 'block_table' in [0, 3), found 3 at element 0");
  EXPECT_EQ(with("seq_start", integers({0, 4})),
            "attention: seq_start: expected input 'seq_start' to rise from 0 to at most 3, found 4 after 0");
  EXPECT_EQ(with("seq_start", integers({2, 1})),
            "attention: seq_start: expected input 'seq_start' to rise from 0 to at most 3, found 1 after 2");
  EXPECT_EQ(
      with("context_len", integers({9})),
      "attention: context_len: expected element 0 of input 'context_len' to count 3 (its rows) to 8 tokens "
      "(its pages), found 9");
  EXPECT_EQ(
      with("context_len", integers({2})),
      "attention: context_len: expected element 0 of input 'context_len' to count 3 (its rows) to 8 tokens "
      "(its pages), found 2");
  EXPECT_EQ(with("context_len", integers({3})), "no error");
}

TEST(GraphProgram, ReadingAnOlderVersionOfAStateIsRefused) {
  Graph g;
  const Value cache = g.state("keys", DType::f32, {2, 1, 4, 8});
  kv_write(cache, g.input("k", DType::f32, {1, 1, 8}), g.input("slots", DType::i32, {1}));
  g.output("old", gelu(cache));
  try {
    g.compile();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("state 'keys'"));
  }
  try {
    kv_write(gelu(cache), g.constant(Array::zeros(DType::f32, {1, 1, 8})), g.constant(integers({0})));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "kv_write: expected a cache that is a state, found f32[2, 1, 4, 8]");
  }
}

}  // namespace
}  // namespace ingot
