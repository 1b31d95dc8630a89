// Thousands of random graphs: fused graphs compute the same bits as unfused ones, states included.
#include <gtest/gtest.h>

#include <cstring>

#include "fuse/fuse.h"
#include "fuse/random_graph.h"
#include "graph/evaluate.h"
#include "graph/fused_op.h"
#include "graph/print.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::Tensor;

/// The bytes of every output and state after one step.
std::map<std::string, std::vector<std::byte>> run(const Graph& graph, const RandomGraph& random) {
  std::map<std::string, Array> own;  // states are written: each run has its own
  std::map<std::string, Tensor, std::less<>> bound;
  for (const auto& [name, array] : random.arrays) {
    Array copy = Array::copy(array.raw(), array.bytes(), array.dtype(), array.shape());
    bound.emplace(name, Tensor{copy.mutable_raw(), copy.dtype(), copy.shape()});
    own.emplace(name, std::move(copy));
  }
  std::vector<Array> storage;
  const std::vector<Tensor> values = evaluate(graph, random.dims(), bound, storage);
  std::map<std::string, std::vector<std::byte>> bytes;
  const auto keep = [&](const std::string& name, const Tensor& tensor) {
    std::vector<std::byte>& kept = bytes[name];
    kept.resize(tensor.bytes());
    if (!kept.empty()) std::memcpy(kept.data(), tensor.data, kept.size());
  };
  for (const graph::Output& output : graph.outputs())
    keep(output.name, values[static_cast<size_t>(output.value.id)]);
  for (const auto& [name, array] : own)
    keep(name, Tensor{const_cast<std::byte*>(array.raw()), array.dtype(), array.shape()});
  return bytes;
}

constexpr uint32_t kGraphs = 3000;

TEST(RandomGraphs, FusedGivesTheBitsOfUnfused) {
  std::map<std::string_view, int> rewrites;
  for (uint32_t seed = 0; seed < kGraphs; ++seed) {
    const RandomGraph random(seed);
    const auto source = std::make_shared<const Graph>(random.graph);
    const FuseResult fused = fuse(source);
    for (const PassReport& pass : fused.passes) rewrites[pass.name] += pass.rewrites;
    ASSERT_TRUE(run(*fused.graph, random) == run(*source, random)) << "seed " << seed << "\n"
                                                                   << to_text(*source) << "\nfused\n"
                                                                   << to_text(*fused.graph);
  }
  // Every pass found something to do, often.
  for (const PassInfo& pass : pass_infos()) EXPECT_GT(rewrites[pass.name], 100) << pass.name;
}

TEST(RandomGraphs, AnyPassSwitchedOffGivesTheBitsOfUnfused) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    const RandomGraph random(seed + kGraphs);
    const auto source = std::make_shared<const Graph>(random.graph);
    const auto expected = run(*source, random);
    for (const PassInfo& pass : pass_infos()) {
      const FuseResult fused = fuse(source, {.off = {std::string(pass.name)}});
      ASSERT_TRUE(run(*fused.graph, random) == expected) << "seed " << seed << " without " << pass.name;
    }
  }
}

TEST(RandomGraphs, ExpandingGivesTheUnfusedOpsBack) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    const RandomGraph random(seed + 2 * kGraphs);
    const auto source = std::make_shared<const Graph>(random.graph);
    const FuseResult fused = fuse(source);
    std::vector<bool> all;
    for (const graph::Node& node : fused.graph->nodes())
      all.push_back(node.op && graph::as_fused(*node.op) != nullptr);
    const Expanded expanded = expand(*fused.graph, all);
    verify(*expanded.graph);
    for (const graph::Node& node : expanded.graph->nodes()) {
      ASSERT_FALSE(node.op && graph::as_fused(*node.op)) << node.op->name();
    }
    ASSERT_EQ(expanded.origin.size(), expanded.graph->nodes().size());
    ASSERT_TRUE(run(*expanded.graph, random) == run(*source, random)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ingot::fuse
