// The builder, the verifier and the printers.
#include "graph/graph.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "graph/op_table.h"
#include "graph/ops/add.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/linear.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/silu.h"
#include "graph/print.h"
#include "ingot/error.h"

namespace ingot::graph {
namespace {

const TensorType kRows{DType::f32, {Symbol::tokens, 4}};

std::string message_of(const std::function<void()>& f, ErrorCode code = ErrorCode::invalid_argument) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "no error";
}

TEST(Graph, InfersTypesAndFindsItsInputsByName) {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value w = g.weight("w", Array::zeros(DType::f16, {6, 4}));
  const Value y = linear(g, x, w, std::nullopt, WeightOrder::out_in, "head");
  g.output("y", y);
  EXPECT_EQ(g.type(y), (TensorType{DType::f32, {Symbol::tokens, 6}}));
  EXPECT_EQ(g.type(w), (TensorType{DType::f16, {6, 4}}));
  EXPECT_EQ(g.node(y).name, "head");
  EXPECT_EQ(g.find("x"), x);
  EXPECT_EQ(g.find("w"), w);
  EXPECT_EQ(message_of([&] { g.find("head"); }, ErrorCode::not_found),
            "graph: no input, weight or state is named 'head'");
  verify(g);
}

TEST(Graph, RefusesValuesThatDoNotExist) {
  Graph g;
  const Value x = g.input("x", kRows);
  EXPECT_EQ(message_of([&] { add(g, x, Value{7}); }), "graph: value 7 does not exist, the graph has 1 nodes");
  EXPECT_EQ(message_of([&] { silu(g, Value{}); }), "graph: value -1 does not exist, the graph has 1 nodes");
  EXPECT_EQ(message_of([&] { g.output("y", Value{1}); }),
            "graph: value 1 does not exist, the graph has 1 nodes");
  EXPECT_EQ(g.nodes().size(), 1U) << "a refused op leaves nothing behind";
}

TEST(Graph, RefusesInputsOfMoreDimensionsThanAnArrayHas) {
  Graph g;
  const TensorType six{DType::f32, {1, 1, 1, 1, 1, Symbol::tokens}};
  EXPECT_EQ(message_of([&] { g.input("x", six); }),
            "graph: 'x': expected at most 5 dimensions, found f32[1, 1, 1, 1, 1, T]");
  EXPECT_EQ(message_of([&] { g.state("s", six); }),
            "graph: 's': expected at most 5 dimensions, found f32[1, 1, 1, 1, 1, T]");
}

TEST(Graph, SharesItsWeightsMemory) {
  Graph g;
  const Array w = Array::zeros(DType::f32, {3});
  const Value value = g.weight("w", w);
  EXPECT_EQ(g.node(value).weight.raw(), w.raw());
}

/// An op that no table knows, whose type changes with every question.
class OddOp final : public Op {
 public:
  explicit OddOp(std::string_view name) : name_(name) {}
  std::string_view name() const override { return name_; }
  TensorType infer(std::span<const TensorType>) const override { return {DType::f32, {++calls_}}; }
  void reference(std::span<const Tensor>, const Tensor&) const override {}

 private:
  std::string_view name_;
  mutable int64_t calls_ = 0;
};

TEST(Verify, NamesTheNodeWhoseNameIsTaken) {
  Graph g;
  g.input("x", kRows);
  g.weight("x", Array::zeros(DType::f32, {3}));
  EXPECT_EQ(message_of([&] { verify(g); }), "graph: node 1 'x': its name is used twice");
}

TEST(Verify, OpsMayShareALabel) {
  Graph g;
  const Value x = g.input("x", kRows);
  silu(g, silu(g, x, "act"), "act");
  verify(g);
}

TEST(Verify, RefusesAnOpOutsideTheTable) {
  Graph g;
  g.append(std::make_shared<OddOp>("magic"), {});
  EXPECT_EQ(message_of([&] { verify(g); }), "graph: node 0 'magic': the op is not in the op table");
}

TEST(Verify, RefusesATypeThatDoesNotFollow) {
  Graph g;
  g.append(std::make_shared<OddOp>("silu"), {});
  EXPECT_EQ(message_of([&] { verify(g); }),
            "graph: node 0 'silu': its type f32[1] does not follow from its inputs");
}

struct Cache {
  Graph g;
  Value state = g.state("keys", {DType::f32, {Symbol::cache_pages, 1, 32, 4}});
  Value rows = g.input("rows", {DType::f32, {Symbol::tokens, 1, 4}});
  Value slots = g.input("slots", {DType::i32, {Symbol::tokens}});
};

TEST(Verify, AcceptsVersionsOfAStateReadInOrder) {
  Cache c;
  const Value first = kv_write(c.g, c.state, c.rows, c.slots);
  kv_write(c.g, first, c.rows, c.slots);
  verify(c.g);
}

TEST(Verify, RefusesToReadAVersionThatWasOverwritten) {
  Cache c;
  const Value first = kv_write(c.g, c.state, c.rows, c.slots);
  kv_write(c.g, first, c.rows, c.slots);
  kv_write(c.g, first, c.rows, c.slots);
  EXPECT_EQ(message_of([&] { verify(c.g); }),
            "graph: node 5 'kv_write': reads version 3 of state 'keys', which node 4 has overwritten");
}

TEST(Verify, RefusesToReadAnOldVersionThroughAView) {
  Cache c;
  const Value view = reshape(c.g, c.state, {Symbol::cache_pages, 128});
  kv_write(c.g, c.state, c.rows, c.slots);
  silu(c.g, view);
  EXPECT_EQ(message_of([&] { verify(c.g); }),
            "graph: node 5 'silu': reads version 3 of state 'keys', which node 4 has overwritten");
}

TEST(Verify, RefusesToWriteToWhatIsNoState) {
  Cache c;
  const Value weight = c.g.weight("frozen", Array::zeros(DType::f32, {2, 1, 32, 4}));
  kv_write(c.g, weight, c.rows, c.slots);
  EXPECT_EQ(message_of([&] { verify(c.g); }),
            "graph: node 4 'kv_write': writes to 'frozen', which is no state");
}

Graph printed() {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value w = g.weight("the \"norm\"", Array::zeros(DType::bf16, {4}));
  const Value n = rms_norm(g, x, w, 0.5F, "layers.0.norm");
  g.output("y", silu(g, n));
  return g;
}

TEST(Print, TextHasALineForEachNodeAndOutput) {
  EXPECT_EQ(to_text(printed()),
            "%0 = input 'x' : f32[T, 4]\n"
            "%1 = weight 'the \"norm\"' : bf16[4]\n"
            "%2 = rms_norm(%0, %1; eps=0.5) : f32[T, 4]  # layers.0.norm\n"
            "%3 = silu(%2) : f32[T, 4]\n"
            "output 'y' = %3\n");
}

TEST(Print, DotHasBoxesEdgesAndEscapedNames) {
  EXPECT_EQ(to_dot(printed()),
            "digraph ingot {\n  node [fontname=\"monospace\"];\n"
            "  n0 [label=\"x\\nf32[T, 4]\", shape=box];\n"
            "  n1 [label=\"the \\\"norm\\\"\\nbf16[4]\", shape=box];\n"
            "  n2 [label=\"rms_norm\\nf32[T, 4]\"];\n  n0 -> n2;\n  n1 -> n2;\n"
            "  n3 [label=\"silu\\nf32[T, 4]\"];\n  n2 -> n3;\n"
            "  \"out y\" [shape=box];\n  n3 -> \"out y\";\n}\n");
}

TEST(Print, JsonParsesAndHoldsEveryField) {
  const auto json = nlohmann::json::parse(to_json(printed()));
  ASSERT_EQ(json["nodes"].size(), 4U);
  EXPECT_EQ(json["nodes"][1],
            (nlohmann::json{
                {"id", 1}, {"kind", "weight"}, {"dtype", "bf16"}, {"dims", {4}}, {"name", "the \"norm\""}}));
  EXPECT_EQ(json["nodes"][2], (nlohmann::json{{"id", 2},
                                              {"kind", "op"},
                                              {"op", "rms_norm"},
                                              {"attributes", "eps=0.5"},
                                              {"inputs", {0, 1}},
                                              {"dtype", "f32"},
                                              {"dims", {"T", 4}},
                                              {"name", "layers.0.norm"}}));
  EXPECT_EQ(json["outputs"], nlohmann::json::parse(R"([{"name": "y", "id": 3}])"));
}

TEST(Print, AnEmptyGraphIsStillValid) {
  EXPECT_EQ(to_text(Graph()), "");
  EXPECT_EQ(nlohmann::json::parse(to_json(Graph())),
            nlohmann::json::parse(R"({"nodes": [], "outputs": []})"));
}

TEST(OpTable, IsSortedAndFindsEachOpByName) {
  std::vector<std::string_view> names;
  for (const OpEntry& entry : op_table()) {
    names.push_back(entry.name);
    ASSERT_NE(find_op(entry.name), nullptr);
    EXPECT_EQ(find_op(entry.name)->name, entry.name);
    EXPECT_FALSE(entry.summary.empty());
  }
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(find_op("nothing"), nullptr);
}

}  // namespace
}  // namespace ingot::graph
