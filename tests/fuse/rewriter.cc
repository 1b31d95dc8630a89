// What the rewriter refuses, and the order in which it writes a graph.
#include "fuse/rewriter.h"

#include <gtest/gtest.h>

#include "graph/fused_op.h"
#include "graph/ops/add.h"
#include "graph/ops/kv_write.h"
#include "graph/ops/mul.h"
#include "graph/ops/pointwise.h"
#include "graph/ops/reshape.h"
#include "graph/ops/silu.h"
#include "graph/print.h"

namespace ingot::fuse {
namespace {

using graph::Graph;
using graph::PointwiseOp;
using graph::PointwiseStep;
using graph::Symbol;
using graph::TensorType;
using graph::Value;

const TensorType kRows{DType::f32, {Symbol::tokens, 4}};

std::shared_ptr<const graph::Op> silu_chain(int steps) {
  std::vector<PointwiseStep> program;
  for (int i = 0; i < steps; ++i) program.push_back({.kind = PointwiseStep::Kind::silu, .a = i});
  return std::make_shared<PointwiseOp>(1, program);
}

/// silu(a) and the cache's new version: two things that have nothing to do with each other.
class SiluAndWrite final : public graph::FusedOp {
 public:
  std::string_view name() const override { return "linear_qkv"; }  // any name of the table
  std::vector<Value> decompose(Graph& graph, std::span<const Value> inputs) const override {
    return {silu(graph, inputs[0]), kv_write(graph, inputs[1], inputs[2], inputs[3])};
  }

 protected:
  size_t input_count() const override { return 4; }
};

struct CacheGraph {
  Graph g;
  Value rows = g.input("rows", {DType::f32, {Symbol::tokens, 1, 4}});
  Value slots = g.input("slots", {DType::i32, {Symbol::tokens}});
  Value cache = g.state("cache", {DType::f32, {Symbol::cache_pages, 1, 8, 4}});
  Value early = silu(g, rows);

  Replacement early_and_write(Value write) const {
    return {.op = std::make_shared<SiluAndWrite>(),
            .inputs = {rows, cache, rows, slots},
            .members = {early, write},
            .outputs = {early, write}};
  }
};

TEST(Rewriter, ACacheIsWrittenAfterEveryReaderOfItsOldVersion) {
  CacheGraph c;
  c.g.output("needs it early", silu(c.g, c.early));
  const Value old = silu(c.g, reshape(c.g, c.cache, {Symbol::cache_pages, 32}));
  c.g.output("old", old);
  const Value write = kv_write(c.g, c.cache, c.rows, c.slots);
  c.g.output("new", write);
  Rewriter rewriter(c.g);
  ASSERT_TRUE(rewriter.replace(c.early_and_write(write)));
  const Graph result = rewriter.finish();
  EXPECT_NO_THROW(verify(result)) << to_text(result);
}

TEST(Rewriter, AWriteThatAReaderOfTheOldVersionWaitsForIsRefused) {
  // Reads the old version and, beside it, the op that would write the new one.
  class Both final : public graph::Op {
   public:
    std::string_view name() const override { return "add"; }
    TensorType infer(std::span<const TensorType> inputs) const override { return inputs[0]; }
    void reference(std::span<const graph::Tensor>, const graph::Tensor&) const override {}
  };
  CacheGraph d;
  const Value view = reshape(d.g, d.cache, {graph::Dim(Symbol::cache_pages) * graph::Dim(8), 4});
  d.g.output("old", d.g.append(std::make_shared<Both>(), {view, d.early}));
  const Value late = kv_write(d.g, d.cache, d.rows, d.slots);
  d.g.output("new", late);
  Rewriter rewriter(d.g);
  EXPECT_FALSE(rewriter.replace(d.early_and_write(late)));
  EXPECT_EQ(rewriter.rewrites(), 0);
  EXPECT_EQ(to_text(rewriter.finish()), to_text(d.g));
}

TEST(Rewriter, AnOpThatWouldWaitForItselfIsRefused) {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value a = silu(g, x);
  const Value outside = add(g, a, x);
  const Value b = silu(g, outside);
  g.output("a", a);
  g.output("b", b);
  Rewriter rewriter(g);
  EXPECT_FALSE(rewriter.replace({.op = silu_chain(2), .inputs = {x}, .members = {a, b}, .outputs = {a, b}}));
}

TEST(Rewriter, TwoReplacementsThatWouldWaitForEachOtherAreNotBothTaken) {
  // a1 -> b2 and b1 -> a2: {a1, a2} alone is fine, {b1, b2} alone is fine.
  CacheGraph c;
  const Value b1 = silu(c.g, silu(c.g, c.rows));
  const Value b2 = silu(c.g, c.early);
  const Value write = kv_write(c.g, c.cache, b1, c.slots);
  c.g.output("b2", b2);
  c.g.output("write", write);
  const Value other_cache = c.g.state("other", c.g.type(c.cache));
  const Value other = kv_write(c.g, other_cache, b2, c.slots);
  c.g.output("other", other);
  const Replacement a{.op = std::make_shared<SiluAndWrite>(),
                      .inputs = {c.rows, c.cache, b1, c.slots},
                      .members = {c.early, write},
                      .outputs = {c.early, write}};
  const Replacement b{.op = std::make_shared<SiluAndWrite>(),
                      .inputs = {c.g.node(b1).inputs[0], other_cache, b2, c.slots},
                      .members = {b1, other},
                      .outputs = {b1, other}};
  Rewriter first(c.g);
  EXPECT_TRUE(first.replace(a));
  EXPECT_FALSE(first.replace(b));
  EXPECT_NO_THROW(verify(first.finish()));
  Rewriter second(c.g);
  EXPECT_TRUE(second.replace(b));
  EXPECT_FALSE(second.replace(a));
}

TEST(Rewriter, AValueThatSomebodyElseReadsIsNotLost) {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value a = silu(g, x);
  const Value b = silu(g, a);
  g.output("b", b);
  const Replacement chain{.op = silu_chain(2), .inputs = {x}, .members = {a, b}, .outputs = {b}};
  EXPECT_TRUE(Rewriter(g).replace(chain));
  g.output("a", a);
  EXPECT_FALSE(Rewriter(g).replace(chain));
}

TEST(Rewriter, ANodeIsReplacedOnce) {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value a = silu(g, x);
  const Value b = silu(g, a);
  const Value c = silu(g, b);
  g.output("c", c);
  Rewriter rewriter(g);
  EXPECT_TRUE(rewriter.replace({.op = silu_chain(2), .inputs = {x}, .members = {a, b}, .outputs = {b}}));
  EXPECT_FALSE(rewriter.replace({.op = silu_chain(2), .inputs = {a}, .members = {b, c}, .outputs = {c}}));
  const Graph result = rewriter.finish();
  verify(result);
  EXPECT_EQ(to_text(result),
            "%0 = input 'x' : f32[T, 4]\n"
            "%1 = pointwise(%0; silu(silu(a))) : f32[T, 4]\n"
            "%2 = silu(%1) : f32[T, 4]\n"
            "output 'c' = %2\n");
}

TEST(Rewriter, SoleReaderCountsReadsAndOutputs) {
  Graph g;
  const Value x = g.input("x", kRows);
  const Value once = silu(g, x);
  const Value twice = silu(g, once);
  const Value square = mul(g, twice, twice);
  g.output("y", square);
  const Rewriter rewriter(g);
  EXPECT_EQ(rewriter.sole_reader(once), twice);
  EXPECT_EQ(rewriter.readers(twice), 2);
  EXPECT_FALSE(rewriter.sole_reader(twice));
  EXPECT_EQ(rewriter.readers(square), 1);
  EXPECT_FALSE(rewriter.sole_reader(square)) << "an output reads it";
}

}  // namespace
}  // namespace ingot::fuse
