// What attention owes the step contract: a sequence's rows have the same bits alone, beside others, in a
// padded step, and however its prompt is cut into chunks.
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "graph/ops/attention.h"
#include "opcases/step.h"
#include "ops/run_case.h"

namespace ingot {
namespace {

using graph::Symbol;
using graph::Value;
using opcases::StepPart;

constexpr int64_t kHeads = 6;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kHeadDim = 20;
constexpr int64_t kPage = 32;

/// One sequence's share of a step: rows, where its context ends, its pages.
struct Part {
  std::vector<float> q;  // [rows, heads, head_dim]
  int64_t rows = 0;
  int64_t context = 0;
  std::vector<int32_t> pages;
};

/// Sequences with given contexts in one cache of random keys and values.
struct World {
  explicit World(const std::vector<StepPart>& parts) : step(parts, kPage) {
    opcases::CaseBuilder random({}, "attention world");
    const Shape cache{step.dims[Symbol::cache_pages], kKvHeads, kPage, kHeadDim};
    keys = Array::empty(DType::f32, cache);
    values = Array::empty(DType::f32, cache);
    for (int64_t i = 0; i < keys.elements(); ++i) {
      keys.mutable_data<float>()[i] = static_cast<float>(2 * random.uniform() - 1);
      values.mutable_data<float>()[i] = static_cast<float>(2 * random.uniform() - 1);
    }
    const int64_t most = step.dims[Symbol::pages];
    for (size_t s = 0; s < parts.size(); ++s) {
      Part part{.q = {}, .rows = parts[s].rows, .context = parts[s].context, .pages = {}};
      for (int64_t i = 0; i < part.rows * kHeads * kHeadDim; ++i) {
        part.q.push_back(static_cast<float>(8 * random.uniform() - 4));
      }
      const auto* row = step.block_table.data() + static_cast<int64_t>(s) * most;
      part.pages.assign(row, row + (part.context + kPage - 1) / kPage);
      sequences.push_back(std::move(part));
    }
  }

  /// Output rows of a step of these parts followed by padding.
  std::vector<std::byte> run(Backend& backend, StepClass step_class, const std::vector<Part>& parts,
                             int64_t window, int64_t padding = 0) const {
    std::vector<float> q;
    std::vector<int32_t> seq_start{0};
    std::vector<int32_t> context_len;
    std::vector<int32_t> table;
    size_t most = 0;
    int64_t rows = 0;
    for (const Part& part : parts) most = std::max(most, part.pages.size());
    for (const Part& part : parts) {
      q.insert(q.end(), part.q.begin(), part.q.end());
      rows += part.rows;
      seq_start.push_back(static_cast<int32_t>(rows));
      context_len.push_back(static_cast<int32_t>(part.context));
      table.insert(table.end(), part.pages.begin(), part.pages.end());
      table.insert(table.end(), most - part.pages.size(), 0);
    }
    q.insert(q.end(), static_cast<size_t>(padding * kHeads * kHeadDim), 3.0F);
    opcases::OpCase op_case{
        .name = "attention/world", .dims = {}, .build = [&](opcases::CaseBuilder& b) {
          const Value x = b.f32({rows + padding, kHeads, kHeadDim}, q);
          const Value k = b.weight(keys);
          const Value v = b.weight(values);
          graph::AttentionInputs inputs;
          inputs.seq_start = b.i32({static_cast<int64_t>(seq_start.size())}, seq_start);
          inputs.context_len = b.i32({static_cast<int64_t>(parts.size())}, context_len);
          inputs.block_table = b.i32({static_cast<int64_t>(parts.size()), static_cast<int64_t>(most)}, table);
          return graph::attention(b.graph(), x, k, v, inputs, 0.25F, window);
        }};
    return run_case(backend, build(op_case), step_class);
  }

  opcases::PagedStep step;
  Array keys;
  Array values;
  std::vector<Part> sequences;
};

class Attention : public testing::TestWithParam<std::tuple<std::string, StepClass, int64_t>> {
 protected:
  void SetUp() override { cpu::use_simd_target_for_test(std::get<0>(GetParam())); }
  void TearDown() override { cpu::use_simd_target_for_test(""); }
  StepClass step() const { return std::get<1>(GetParam()); }
  int64_t window() const { return std::get<2>(GetParam()); }
  std::unique_ptr<Backend> backend_ = backend::make_backend("cpu", {.threads = 3});
};

TEST_P(Attention, ASequenceHasTheSameBitsAloneAndInEveryCompany) {
  std::vector<StepPart> parts = opcases::seventeen(kPage);
  parts[3].context = 700;  // beyond one piece of the decode kernel
  parts[8].context = 1500;
  const World world(parts);
  const std::vector<std::byte> all = world.run(*backend_, step(), world.sequences, window());
  std::vector<Part> backwards(world.sequences.rbegin(), world.sequences.rend());
  const std::vector<std::byte> reversed = world.run(*backend_, step(), backwards, window(), 5);
  const size_t row_bytes = kHeads * kHeadDim * sizeof(float);
  size_t begin = 0;
  size_t end_reversed = reversed.size() - 5 * row_bytes;
  for (const Part& part : world.sequences) {
    const size_t bytes = static_cast<size_t>(part.rows) * row_bytes;
    const std::vector<std::byte> alone = world.run(*backend_, step(), {part}, window());
    ASSERT_EQ(alone.size(), bytes);
    EXPECT_EQ(std::memcmp(alone.data(), all.data() + begin, bytes), 0) << "context " << part.context;
    EXPECT_EQ(std::memcmp(alone.data(), reversed.data() + end_reversed - bytes, bytes), 0);
    begin += bytes;
    end_reversed -= bytes;
  }
  const std::vector<std::byte> zeros(5 * row_bytes);
  EXPECT_EQ(std::memcmp(reversed.data() + reversed.size() - zeros.size(), zeros.data(), zeros.size()), 0)
      << "padding rows are zero";
}

TEST_P(Attention, APromptHasTheSameBitsHoweverItIsCut) {
  const World world({{90, 620}});
  const Part& whole = world.sequences[0];
  const std::vector<std::byte> expected = world.run(*backend_, step(), {whole}, window());
  for (int64_t chunk : {1, 7, 32, 64}) {
    std::vector<std::byte> found;
    for (int64_t begin = 0; begin < whole.rows; begin += chunk) {
      Part part = whole;
      part.rows = std::min(chunk, whole.rows - begin);
      part.context = whole.context - whole.rows + begin + part.rows;
      const auto* first = whole.q.data() + begin * kHeads * kHeadDim;
      part.q.assign(first, first + part.rows * kHeads * kHeadDim);
      part.pages.resize(static_cast<size_t>((part.context + kPage - 1) / kPage));
      const std::vector<std::byte> rows = world.run(*backend_, step(), {part}, window());
      found.insert(found.end(), rows.begin(), rows.end());
    }
    EXPECT_TRUE(found == expected) << "chunks of " << chunk;
  }
}

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (std::string_view name : cpu::simd_target_names()) names.emplace_back(name);
  return names;
}

std::string kernel_name(const testing::TestParamInfo<Attention::ParamType>& info) {
  const auto& [target, step, window] = info.param;
  return target_word(target) + "_" + std::string(to_string(step)) + "_window" + std::to_string(window);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Attention,
                         testing::Combine(testing::ValuesIn(targets()),
                                          testing::Values(StepClass::prefill, StepClass::decode),
                                          testing::Values<int64_t>(0, 5, 600)),
                         kernel_name);

}  // namespace
}  // namespace ingot
