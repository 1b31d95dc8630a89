// Fusion on the graphs of all architectures: what a layer becomes, and that the values stay.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "format/hf_folder.h"
#include "fuse/fuse.h"
#include "graph/print.h"
#include "model/model.h"

namespace ingot::fuse {
namespace {

namespace fs = std::filesystem;
using graph::Graph;
using graph::Node;
using graph::NodeKind;

std::map<std::string, model::Model> models() {
  std::map<std::string, model::Model> all;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(INGOT_SOURCE_DIR) / "tests/model")) {
    if (entry.path().filename() != "config.json") continue;
    const fs::path folder = entry.path().parent_path();
    all.emplace(fs::relative(folder, fs::path(INGOT_SOURCE_DIR) / "tests/model").string(),
                model::Model(std::make_shared<format::HfFolder>(format::HfFolder::open(folder.string()))));
  }
  return all;
}

/// Ops that compute: all but views.
std::map<std::string, int> launches(const Graph& graph) {
  std::map<std::string, int> count;
  for (const Node& node : graph.nodes()) {
    if (node.kind != NodeKind::op || (node.op->alias_of() && !node.op->writes_alias())) continue;
    ++count[std::string(node.op->name())];
  }
  return count;
}

TEST(FusedModels, ALayerIsFiveLaunches) {
  for (const auto& [name, model] : models()) {
    SCOPED_TRACE(name);
    const auto fused = fuse(model.token_graph());
    const auto count = launches(*fused.graph);
    const auto layers = static_cast<int>(model.dimensions().layers);
    int all = 0;
    for (const auto& [op, times] : count) all += times;
    EXPECT_EQ(count.at("linear_qkv"), layers) << to_text(*fused.graph);
    EXPECT_EQ(count.at("attention"), layers);
    EXPECT_LE(all, 5 * layers + 7) << to_text(*fused.graph);
  }
}

}  // namespace
}  // namespace ingot::fuse
