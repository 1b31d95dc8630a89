// What attention owes the step contract, checked on any backend: a sequence's rows have the same bits alone,
// beside others, in a padded step, and however its prompt is cut into chunks.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "graph/ops/attention.h"
#include "opcases/step.h"
#include "ops/run_case.h"

namespace ingot {

inline constexpr int64_t kWorldPage = 32;

struct WorldShape {
  int64_t heads = 6;
  int64_t kv_heads = 2;
  int64_t head_dim = 20;
};

/// One sequence's share of a step: rows, where its context ends, its pages.
struct WorldPart {
  std::vector<float> q;  // [rows, heads, head_dim]
  int64_t rows = 0;
  int64_t context = 0;
  std::vector<int32_t> pages;
};

/// Sequences with given contexts in one cache of random keys and values.
struct World {
  World(WorldShape world_shape, const std::vector<opcases::StepPart>& parts)
      : shape(world_shape), step(parts, kWorldPage) {
    opcases::CaseBuilder random({}, "attention world");
    const Shape cache{step.dims[graph::Symbol::cache_pages], shape.kv_heads, kWorldPage, shape.head_dim};
    keys = Array::empty(DType::f32, cache);
    values = Array::empty(DType::f32, cache);
    for (int64_t i = 0; i < keys.elements(); ++i) {
      keys.mutable_data<float>()[i] = static_cast<float>(2 * random.uniform() - 1);
      values.mutable_data<float>()[i] = static_cast<float>(2 * random.uniform() - 1);
    }
    const int64_t most = step.dims[graph::Symbol::pages];
    for (size_t s = 0; s < parts.size(); ++s) {
      WorldPart part{.q = {}, .rows = parts[s].rows, .context = parts[s].context, .pages = {}};
      for (int64_t i = 0; i < part.rows * shape.heads * shape.head_dim; ++i) {
        part.q.push_back(static_cast<float>(8 * random.uniform() - 4));
      }
      const auto* row = step.block_table.data() + static_cast<int64_t>(s) * most;
      part.pages.assign(row, row + (part.context + kWorldPage - 1) / kWorldPage);
      sequences.push_back(std::move(part));
    }
  }

  /// Output rows of a step of these parts followed by padding.
  std::vector<std::byte> run(Backend& backend, StepClass step_class, const std::vector<WorldPart>& parts,
                             int64_t window, int64_t padding = 0) const {
    std::vector<float> q;
    std::vector<int32_t> seq_start{0};
    std::vector<int32_t> context_len;
    std::vector<int32_t> table;
    size_t most = 0;
    int64_t rows = 0;
    for (const WorldPart& part : parts) most = std::max(most, part.pages.size());
    for (const WorldPart& part : parts) {
      q.insert(q.end(), part.q.begin(), part.q.end());
      rows += part.rows;
      seq_start.push_back(static_cast<int32_t>(rows));
      context_len.push_back(static_cast<int32_t>(part.context));
      table.insert(table.end(), part.pages.begin(), part.pages.end());
      table.insert(table.end(), most - part.pages.size(), 0);
    }
    q.insert(q.end(), static_cast<size_t>(padding * shape.heads * shape.head_dim), 3.0F);
    opcases::OpCase op_case{
        .name = "attention/world", .dims = {}, .build = [&](opcases::CaseBuilder& b) {
          const graph::Value x = b.f32({rows + padding, shape.heads, shape.head_dim}, q);
          const graph::Value k = b.weight(keys);
          const graph::Value v = b.weight(values);
          graph::AttentionInputs inputs;
          inputs.seq_start = b.i32({static_cast<int64_t>(seq_start.size())}, seq_start);
          inputs.context_len = b.i32({static_cast<int64_t>(parts.size())}, context_len);
          inputs.block_table = b.i32({static_cast<int64_t>(parts.size()), static_cast<int64_t>(most)}, table);
          return graph::attention(b.graph(), x, k, v, inputs, 0.25F, window);
        }};
    return run_case(backend, build(op_case), step_class);
  }

  WorldShape shape;
  opcases::PagedStep step;
  Array keys;
  Array values;
  std::vector<WorldPart> sequences;
};

/// Alone, beside 16 others, and in the opposite order with padding.
inline void check_attention_company(Backend& backend, WorldShape shape, StepClass step, int64_t window) {
  std::vector<opcases::StepPart> parts = opcases::seventeen(kWorldPage);
  parts[3].context = 700;  // beyond one piece of the decode kernel
  parts[8].context = 1500;
  const World world(shape, parts);
  const std::vector<std::byte> all = world.run(backend, step, world.sequences, window);
  std::vector<WorldPart> backwards(world.sequences.rbegin(), world.sequences.rend());
  const std::vector<std::byte> reversed = world.run(backend, step, backwards, window, 5);
  const size_t row_bytes = static_cast<size_t>(shape.heads * shape.head_dim) * sizeof(float);
  size_t begin = 0;
  size_t end_reversed = reversed.size() - 5 * row_bytes;
  for (const WorldPart& part : world.sequences) {
    const size_t bytes = static_cast<size_t>(part.rows) * row_bytes;
    const std::vector<std::byte> alone = world.run(backend, step, {part}, window);
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

/// A prompt of 90 rows behind 530, in chunks.
inline void check_attention_chunks(Backend& backend, WorldShape shape, StepClass step, int64_t window) {
  const World world(shape, {{90, 620}});
  const WorldPart& whole = world.sequences[0];
  const std::vector<std::byte> expected = world.run(backend, step, {whole}, window);
  for (int64_t chunk : {1, 7, 32, 64}) {
    std::vector<std::byte> found;
    for (int64_t begin = 0; begin < whole.rows; begin += chunk) {
      WorldPart part = whole;
      part.rows = std::min(chunk, whole.rows - begin);
      part.context = whole.context - whole.rows + begin + part.rows;
      const auto* first = whole.q.data() + begin * shape.heads * shape.head_dim;
      part.q.assign(first, first + part.rows * shape.heads * shape.head_dim);
      part.pages.resize(static_cast<size_t>((part.context + kWorldPage - 1) / kWorldPage));
      const std::vector<std::byte> rows = world.run(backend, step, {part}, window);
      found.insert(found.end(), rows.begin(), rows.end());
    }
    EXPECT_TRUE(found == expected) << "chunks of " << chunk;
  }
}

}  // namespace ingot
