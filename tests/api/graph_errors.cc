// The graph API: bad input is an Error{invalid_argument} that says what was expected and what was found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "ingot/graph.h"

namespace ingot {
namespace {

/// The message of the Error{invalid_argument} that f throws.
std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::invalid_argument)) << error.what();
    return error.what();
  }
  return "no error";
}

Array zeros(const Shape& shape, DType dtype = DType::f32) {
  return Array::zeros(dtype, shape);
}

class GraphErrors : public testing::Test {
 protected:
  Graph g;
  Value x = g.input("x", DType::f32, {Dim::any(), 4});
  Value ids = g.input("ids", DType::i32, {Dim::any()});
  Value row = g.constant(zeros({4}), "row");
  Value table = g.constant(zeros({8, 4}), "table");
};

TEST_F(GraphErrors, WrongRanksNameTheOp) {
  EXPECT_EQ(message_of([&] { matmul(x, row); }),
            "matmul: expected two operands of rank >= 2, found f32[T, 4] and f32[4]");
  EXPECT_EQ(message_of([&] { linear(x, row); }), "linear: expected the weight of rank 2, found f32[4]");
  EXPECT_EQ(message_of([&] { rms_norm(x, table); }),
            "rms_norm: expected the weight of rank 1, found f32[8, 4]");
  EXPECT_EQ(message_of([&] { softmax(g.constant(zeros({}))); }),
            "softmax: expected rank >= 1, found a scalar");
  EXPECT_EQ(message_of([&] { rope(x, x); }), "rope: expected x of rank 3, found f32[T, 4]");
  EXPECT_EQ(message_of([&] {
              embedding(g.constant(zeros({2, 2}, DType::i32)), table);
            }),
            "embedding: expected ids of rank 1, found i32[2, 2]");
}

TEST_F(GraphErrors, WrongTypesNameTheOp) {
  EXPECT_EQ(message_of([&] { gelu(ids); }), "gelu: expected x of type f32, found i32[T]");
  EXPECT_EQ(message_of([&] { embedding(x, table); }), "embedding: expected ids of rank 1, found f32[T, 4]");
  EXPECT_EQ(message_of([&] { embedding(row, table); }), "embedding: expected ids of type i32, found f32[4]");
  EXPECT_EQ(message_of([&] { x + g.constant(zeros({4}, DType::f64)); }),
            "add: expected b of type f32, f16 or bf16, found f64[4]");
  EXPECT_EQ(message_of([&] {
              concat({x, ids}, 0);
            }),
            "concat: expected every input of type f32, found i32[T]");
}

TEST_F(GraphErrors, WrongLengthsNameTheOp) {
  EXPECT_EQ(message_of([&] { x + g.constant(zeros({5})); }),
            "add: expected b's trailing dimension to be 4, found 5");
  EXPECT_EQ(message_of([&] { matmul(x, table); }), "matmul: expected b's rows to be 4, found f32[8, 4]");
  EXPECT_EQ(message_of([&] {
              linear(x, g.constant(zeros({8, 5})));
            }),
            "linear: expected the weight's input width to be 4, found 5");
  EXPECT_EQ(message_of([&] { linear(x, table, row); }), "linear: expected the bias's width to be 8, found 4");
  EXPECT_EQ(message_of([&] {
              reshape(x, {Dim::any(), 5});
            }),
            "reshape: expected as many elements as f32[T, 4], found f32[T, 5]");
  EXPECT_EQ(message_of([&] {
              reshape(x, {-1, 4});
            }),
            "reshape: expected lengths of at least 0, found f32[-1, 4]");
  EXPECT_EQ(message_of([&] {
              concat({x, table}, 1);
            }),
            "concat: expected an input's dimension to be T, found 8");
  EXPECT_EQ(message_of([&] {
              reshape(matmul(x, transpose(x, {1, 0})), {Dim::any(), Dim::any()});
            }),
            "reshape: dimensions T and T cannot be multiplied");
}

TEST_F(GraphErrors, WrongAttributesNameTheOp) {
  EXPECT_EQ(message_of([&] { slice(x, 1, 3, 5); }), "slice: expected a range within 0:4, found 3:5");
  EXPECT_EQ(message_of([&] { slice(x, 1, 3, 2); }), "slice: expected a range within 0:4, found 3:2");
  EXPECT_EQ(message_of([&] { slice(x, 2, 0, 1); }), "slice: expected an axis of f32[T, 4], found 2");
  EXPECT_EQ(message_of([&] { slice(x, 0, 0, 1); }), "slice: expected a static dimension, found T");
  EXPECT_EQ(message_of([&] {
              transpose(x, {0, 0});
            }),
            "transpose: expected a permutation of the axes of f32[T, 4], found 0,0");
  EXPECT_EQ(message_of([&] { concat({x}, 5); }), "concat: expected an axis of f32[T, 4], found 5");
  EXPECT_EQ(message_of([&] { concat({}, 0); }), "concat: expected at least one value, found none");
  EXPECT_EQ(message_of([&] { rms_norm(x, row, -1); }),
            "rms_norm: expected a finite eps of at least 0, found -1");
  EXPECT_EQ(message_of([&] { layer_norm(x, row, row, std::numeric_limits<float>::quiet_NaN()); }),
            "layer_norm: expected a finite eps of at least 0, found nan");
  EXPECT_EQ(message_of([&] { rope_table(ids, 3); }),
            "rope_table: expected an even number of rotary dimensions > 0, found 3");
  EXPECT_EQ(message_of([&] { rope_table(ids, 4, {.theta = -1}); }),
            "rope_table: expected a finite theta above 1, found -1");
  EXPECT_EQ(message_of([&] { rope_table(ids, int64_t{1} << 40); }),
            "rope_table: expected at most 1048576 rotary dimensions, found 1099511627776");
}

TEST_F(GraphErrors, SizesThatNoMemoryHoldsAreRefusedBeforeTheyOverflow) {
  constexpr int64_t kHuge = int64_t{1} << 39;
  Graph other;
  EXPECT_EQ(message_of([&] {
              other.input("a", DType::f32, {kHuge, kHuge});
            }),
            "input 'a': expected at most 2^40 elements, found f32[549755813888, 549755813888]");
  EXPECT_EQ(message_of([&] {
              other.input("a", DType::f32, {1, 1, 1, 1, 1, 1});
            }),
            "input 'a': expected at most 5 dimensions, found 6");
  const Value tall = other.input("tall", DType::f32, {kHuge, 1});
  EXPECT_EQ(message_of([&] {
              matmul(tall, transpose(tall, {1, 0}));
            }),
            "matmul: expected at most 2^40 elements, found f32[549755813888, 549755813888]");
  EXPECT_EQ(
      message_of([&] {
        reshape(tall, {kHuge, kHuge, kHuge, 0});
      }),
      "reshape: expected at most 2^40 elements, found f32[549755813888, 549755813888, 549755813888, 0]");
  EXPECT_EQ(message_of([&] { static_cast<void>(kHuge * (kHuge * Dim::any())); }),
            "dim: expected a length of 0 to 2^40, found 549755813888 times 549755813888T");
  EXPECT_EQ(message_of([&] { static_cast<void>(Dim::any() + std::numeric_limits<int64_t>::max()); }),
            "dim: expected a length of 0 to 2^40, found T and 9223372036854775807 more");
  EXPECT_EQ(message_of([&] { static_cast<void>(-1 * Dim::any()); }),
            "dim: expected a length of 0 to 2^40, found -1 times T");
  other.output("y", other.input("x", DType::f32, {kHuge * Dim::any()}));
  EXPECT_THAT(message_of([&] { other.compile({.most = kHuge}); }),
              testing::HasSubstr("most: expected a T that memory can hold, found 549755813888"));
}

TEST_F(GraphErrors, ValuesOfNoneOrAnotherGraphAreRefused) {
  Graph other;
  const Value theirs = other.input("x", DType::f32, {Dim::any(), 4});
  EXPECT_EQ(message_of([&] { x + theirs; }), "add: expected values of one graph, found operand 1 of another");
  EXPECT_EQ(message_of([&] { gelu(Value()); }),
            "gelu: expected a value of a graph as operand 0, found an empty one");
  EXPECT_EQ(message_of([&] { linear(x, table, Value()); }),
            "linear: expected a value of a graph as operand 2, found an empty one");
  EXPECT_EQ(message_of([&] { g.output("y", theirs); }),
            "output 'y': expected a value of this graph, found one of another");
  EXPECT_EQ(message_of([&] { g.output("y", Value()); }),
            "output 'y': expected a value of this graph, found one of none");
  EXPECT_EQ(message_of([&] { Value().dtype(); }), "value: expected one of a graph, found an empty one");
}

TEST_F(GraphErrors, NamesAreNeverEmptyAndNeverTakenTwice) {
  EXPECT_EQ(message_of([&] { g.input("", DType::f32, {}); }), "input: expected a name, found an empty one");
  EXPECT_EQ(message_of([&] { g.input("row", DType::f32, {}); }),
            "input: expected a name of its own, found 'row' a second time");
  EXPECT_EQ(message_of([&] { g.constant(zeros({1}), "x"); }),
            "constant: expected a name of its own, found 'x' a second time");
  EXPECT_EQ(message_of([&] { g.state("x", DType::f32, {1}); }),
            "state: expected a name of its own, found 'x' a second time");
  g.output("y", x);
  EXPECT_EQ(message_of([&] { g.output("y", x); }),
            "output: expected a name of its own, found 'y' a second time");
  EXPECT_EQ(message_of([&] { g.output("", x); }), "output: expected a name, found an empty one");
  g.constant(zeros({1}), "constant 0");  // a name that the graph would give
  g.constant(zeros({1}));
}

TEST_F(GraphErrors, AnOpThatThrowsLeavesTheGraphUsable) {
  const Value tall = g.input("tall", DType::f32, {int64_t{1} << 21, 1});
  EXPECT_NE(message_of([&] { matmul(tall, transpose(tall, {1, 0})); }), "no error");
  const Value eight = g.constant(Array::from(std::vector<int32_t>{8}, Shape{1}));
  EXPECT_NE(message_of([&] { embedding(eight, table); }), "no error");
  EXPECT_NE(message_of([&] { x + g.constant(zeros({5})); }), "no error");
  g.output("y", x + 1.0F);
  const NamedArrays inputs{
      {"x", zeros({1, 4})}, {"ids", zeros({1}, DType::i32)}, {"tall", zeros({int64_t{1} << 21, 1})}};
  EXPECT_EQ(g.compile({.most = 1}).run(inputs)["y"].data<float>()[3], 1);
}

TEST_F(GraphErrors, CompileNamesWhatIsMissingOrOutOfRange) {
  EXPECT_EQ(message_of([&] { g.compile(); }), "compile: expected at least one output, found none");
  g.output("y", gelu(x));
  EXPECT_EQ(message_of([&] { g.compile(); }), "most: expected the largest T, at least 1, found 0");
  EXPECT_EQ(message_of([&] { g.compile({.most = -3}); }),
            "most: expected the largest T, at least 1, found -3");
  const auto with = [&](const CompileOptions& options) {
    return message_of([&] { g.compile({.most = 4, .options = options}); });
  };
  EXPECT_EQ(with({.devices = {"abacus"}}), "device: expected one of cpu, cuda, metal, found 'abacus'");
  EXPECT_EQ(with({.devices = {"cpu", "cpu"}}), "device: expected each device once, found 'cpu' twice");
  EXPECT_THAT(with({.threads = -1}), testing::HasSubstr("threads"));
  EXPECT_THAT(with({.no_fuse = {"abacus"}}), testing::HasSubstr("'abacus'"));
  EXPECT_THAT(with({.route = {{"abacus", 3}}}), testing::HasSubstr("found 'abacus'"));
  EXPECT_EQ(with({.route = {{"gelu", -3}}}),
            "route: gelu: expected a threshold of at least 0 elements, found -3");
  EXPECT_THAT(with({.layers = {{.first = 3, .last = 1, .device = "cpu"}}}), testing::HasSubstr("found 3-1"));
  EXPECT_THAT(with({.layers = {{.first = 0, .last = 1, .device = "metal"}}}),
              testing::HasSubstr("found 'metal'"));
  EXPECT_EQ(with({.memory = {{"cpu", -1}}}), "memory: cpu: expected at least 0 bytes, found -1");
  EXPECT_EQ(message_of([&] { g.set_layer(-1); }), "layer: expected 0 to 2147483647, found -1");
}

TEST_F(GraphErrors, AVariableLengthNeedsAnInputThatBringsIt) {
  Graph other;
  other.output("y", reshape(other.input("x", DType::f32, {0}), {Dim::any(), 0}));
  EXPECT_EQ(message_of([&] { other.compile({.most = 2}); }),
            "compile: expected an input of variable length, found only reshape of f32[T, 0]");
}

TEST_F(GraphErrors, StatesHaveFixedLengths) {
  EXPECT_EQ(message_of([&] {
              g.state("s", DType::f32, {Dim::any(), 2});
            }),
            "state 's': expected fixed lengths, found f32[T, 2]");
}

class RunErrors : public GraphErrors {
 protected:
  RunErrors() {
    g.output("y", embedding(ids, table) + x);
    program.emplace(g.compile({.most = 4}));
  }
  std::string run(const NamedArrays& inputs) {
    return message_of([&] { program->run(inputs); });
  }
  std::optional<Program> program;
  const Array two = zeros({2}, DType::i32);
};

TEST_F(RunErrors, MissingAndUnknownInputsAreNamed) {
  EXPECT_EQ(run({{"x", zeros({2, 4})}}), "run: input 'ids': expected i32[T], found none");
  EXPECT_EQ(run({{"x", zeros({2, 4})}, {"ids", two}, {"z", two}}),
            "run: expected the inputs 'x', 'ids', found one named 'z'");
}

TEST_F(RunErrors, MisshapenInputsAreNamedWithBothTypes) {
  EXPECT_EQ(run({{"x", zeros({2, 5})}, {"ids", two}}), "run: input 'x': expected f32[T, 4], found f32[2, 5]");
  EXPECT_EQ(run({{"x", zeros({2})}, {"ids", two}}), "run: input 'x': expected f32[T, 4], found f32[2]");
  EXPECT_EQ(run({{"x", zeros({2, 4}, DType::f16)}, {"ids", two}}),
            "run: input 'x': expected f32[T, 4], found f16[2, 4]");
  EXPECT_EQ(run({{"x", zeros({3, 4})}, {"ids", two}}),
            "run: input 'ids': expected i32[T] with T = 3 as in 'x', found i32[2]");
}

TEST_F(RunErrors, ALengthThatIsNoMultipleIsRefused) {
  Graph other;
  other.output("y", silu(other.input("pairs", DType::f32, {2 * Dim::any() + 1})));
  Program pairs = other.compile({.most = 2});
  EXPECT_EQ(message_of([&] {
              pairs.run({{"pairs", zeros({4})}});
            }),
            "run: input 'pairs': expected f32[2T+1], found f32[4]");
  EXPECT_EQ(message_of([&] {
              pairs.run({{"pairs", zeros({0})}});
            }),
            "run: input 'pairs': expected f32[2T+1], found f32[0]");
  EXPECT_EQ(pairs.run({{"pairs", zeros({1})}})["y"].elements(), 1);
}

TEST_F(RunErrors, IdsOutsideTheTableAreNamedWithTheirPlace) {
  const auto with_ids = [&](const std::vector<int32_t>& values) {
    return run({{"x", zeros({2, 4})}, {"ids", Array::from(std::span<const int32_t>(values), Shape{2})}});
  };
  EXPECT_EQ(with_ids({0, 8}),
            "embedding: ids: expected elements of input 'ids' in [0, 8), found 8 at element 1");
  EXPECT_EQ(with_ids({-1, 0}),
            "embedding: ids: expected elements of input 'ids' in [0, 8), found -1 at element 0");
  EXPECT_EQ(with_ids({7, 0}), "no error");
}

TEST_F(RunErrors, IdsThatMovedOnTheirWayAreChecked) {
  Graph other;
  const Value moved = other.input("moved", DType::i32, {2, 2});
  const Value fixed = other.constant(Array::from(std::vector<int32_t>{1}, Shape{1}));
  other.output("y", embedding(concat({fixed, slice(reshape(transpose(moved, {1, 0}), {4}), 0, 1, 3)}, 0),
                              other.constant(zeros({3, 2}))));
  Program late = other.compile();
  EXPECT_EQ(message_of([&] {
              late.run({{"moved", Array::from(std::vector<int32_t>{0, 1, 3, 2}, Shape{2, 2})}});
            }),
            "embedding: ids: expected elements of input 'moved' in [0, 3), found 3 at element 2");
  EXPECT_EQ(message_of([&] {
              embedding(fixed, other.constant(zeros({1, 2})));
            }),
            "embedding: ids: expected elements of constant 'constant 0' in [0, 1), found 1 at element 0");
}

TEST_F(RunErrors, OutputsThatAreNotThereOrDoNotFitAreNamed) {
  const NamedArrays inputs{{"x", zeros({2, 4})}, {"ids", two}};
  EXPECT_EQ(message_of([&] { static_cast<void>(program->run(inputs)["z"]); }),
            "outputs: expected one of 'y', found 'z'");
  const auto into = [&](NamedArrays outputs) {
    return message_of([&] { program->run_into(inputs, outputs); });
  };
  EXPECT_EQ(into({{"z", zeros({2, 4})}}), "run: expected outputs among 'y', found 'z'");
  EXPECT_EQ(into({{"y", zeros({3, 4})}}), "run: output 'y': expected f32[2, 4], found f32[3, 4]");
  const float bytes[8] = {};
  EXPECT_EQ(into({{"y", Array::over(bytes, sizeof bytes, DType::f32, {2, 4}, nullptr)}}),
            "run: output 'y': expected a writable array, found a read-only one");
  EXPECT_EQ(into({{"y", zeros({2, 4})}}), "no error");
  EXPECT_EQ(message_of([&] { static_cast<void>(program->state("keys")); }),
            "state: expected one of none, found 'keys'");
}

TEST_F(RunErrors, ARunThatIsRefusedLeavesTheProgramUsable) {
  run({{"x", zeros({2, 4})}});
  EXPECT_EQ(program->statistics().runs, 0);
  EXPECT_EQ(run({{"x", zeros({2, 4})}, {"ids", two}}), "no error");
  EXPECT_EQ(program->statistics().runs, 1);
}

}  // namespace
}  // namespace ingot
