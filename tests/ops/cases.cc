// Every op case on every backend of this build, and for the CPU on every instruction set of this machine.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <ostream>
#include <set>

#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "graph/op_table.h"
#include "ingot/error.h"
#include "ops/run_case.h"

namespace ingot {
namespace {

using graph::Dim;
using graph::NodeKind;
using graph::Symbol;
using opcases::OpCase;

struct Device {
  std::string backend;
  std::string target;  // cpu: the instruction set
};
/// For the lists of tests; GoogleTest would print bytes.
std::ostream& operator<<(std::ostream& out, const Device& device) {
  return out << device.backend << (device.target.empty() ? "" : " ") << device.target;
}

std::vector<Device> devices() {
  std::vector<Device> all;
  for (const std::string& name : backend::backend_names()) {
    if (name != "cpu") {
      all.push_back({name, ""});
      continue;
    }
    for (std::string_view target : cpu::simd_target_names()) all.push_back({name, std::string(target)});
  }
  return all;
}

std::vector<std::string> ops() {
  std::vector<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) names.emplace_back(row.op);
  return names;
}

class Cases : public testing::TestWithParam<std::tuple<Device, std::string>> {
 protected:
  void SetUp() override {
    const Device& device = std::get<0>(GetParam());
    if (device.backend == "cpu") cpu::use_simd_target_for_test(device.target);
    for (const opcases::OpCases& row : opcases::table()) {
      if (row.op == std::get<1>(GetParam())) cases_ = row.cases();
    }
    // Large cases repeat the same loops: once, on the fastest instruction set, is enough.
    if (device.backend == "cpu" && device.target != cpu::simd_target_names().front()) {
      std::erase_if(cases_, [](const OpCase& op_case) { return op_case.is_speed_case; });
    }
    ASSERT_FALSE(cases_.empty());
  }
  void TearDown() override { cpu::use_simd_target_for_test(""); }
  std::unique_ptr<Backend> backend(int threads) const {
    return backend::make_backend(std::get<0>(GetParam()).backend, {.threads = threads});
  }

  std::vector<OpCase> cases_;
};

TEST_P(Cases, EqualTheReference) {
  const auto device = backend(3);
  for (const OpCase& op_case : cases_) {
    const BuiltCase built = build(op_case);
    const std::vector<std::byte> expected = run_reference(built);
    for (StepClass step : steps_of(*device, built)) {
      SCOPED_TRACE(op_case.name + ", " + std::string(to_string(step)));
      expect_close(run_case(*device, built, step), expected, built.output().dtype, op_case.tolerance);
    }
  }
}

TEST_P(Cases, ThreadsDoNotShowInTheBits) {
  const auto one = backend(1);
  const auto two = backend(2);
  const auto eight = backend(8);
  for (const OpCase& op_case : cases_) {
    const BuiltCase built = build(op_case);
    for (StepClass step : steps_of(*one, built)) {
      SCOPED_TRACE(op_case.name + ", " + std::string(to_string(step)));
      const std::vector<std::byte> expected = run_case(*one, built, step);
      EXPECT_TRUE(run_case(*two, built, step) == expected) << "2 threads";
      EXPECT_TRUE(run_case(*eight, built, step) == expected) << "8 threads";
    }
  }
}

TEST_P(Cases, InPlaceGivesTheSameBits) {
  const auto device = backend(2);
  for (const OpCase& op_case : cases_) {
    const BuiltCase built = build(op_case);
    const std::vector<Tensor> inputs = built.inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!built.op().in_place(static_cast<int>(i)) || inputs[i].bytes() != built.output().bytes()) continue;
      for (StepClass step : steps_of(*device, built)) {
        SCOPED_TRACE(op_case.name + ", " + std::string(to_string(step)));
        EXPECT_TRUE(run_case(*device, built, step, static_cast<int>(i)) == run_case(*device, built, step));
      }
    }
  }
}

/// The case with these rows of every step input instead of its own.
struct PickedRows {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<Tensor> inputs;
  Tensor output;
  std::vector<Tensor> results;
};

PickedRows pick(const BuiltCase& built, Symbol symbol, const std::vector<int64_t>& rows) {
  PickedRows picked;
  const auto& nodes = built.graph.node(built.result).inputs;
  const std::vector<Tensor> inputs = built.inputs();
  const auto with_rows = [&](const Shape& shape) {
    std::vector<int64_t> lengths(shape.lengths().begin(), shape.lengths().end());
    lengths[0] = static_cast<int64_t>(rows.size());
    return Shape(lengths);
  };
  picked.bytes.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const graph::Node& node = built.graph.node(nodes[i]);
    picked.inputs.push_back(inputs[i]);
    if (node.kind != NodeKind::input || node.type.rank() == 0 || node.type.dim(0) != Dim(symbol)) continue;
    const size_t row_bytes = inputs[i].bytes() / static_cast<size_t>(inputs[i].shape[0]);
    std::vector<std::byte>& bytes = picked.bytes.emplace_back();
    for (int64_t row : rows) {
      const auto* from = inputs[i].as<const std::byte>() + static_cast<size_t>(row) * row_bytes;
      bytes.insert(bytes.end(), from, from + row_bytes);
    }
    picked.inputs.back().data = bytes.data();
    picked.inputs.back().shape = with_rows(inputs[i].shape);
  }
  picked.output = built.output();
  picked.output.shape = with_rows(picked.output.shape);
  picked.results = built.results();
  for (size_t i = 0; i < picked.results.size(); ++i) {
    // A cache has no rows of the step: it stays whole.
    if (aliased_input(built, i) < 0) picked.results[i].shape = with_rows(picked.results[i].shape);
  }
  return picked;
}

TEST_P(Cases, ARowDoesNotSeeOtherRows) {
  const auto device = backend(2);
  for (const OpCase& op_case : cases_) {
    if (!op_case.rows_are_independent) continue;
    const BuiltCase built = build(op_case);
    const Symbol symbol = built.dims[Symbol::logit_rows] > 0 ? Symbol::logit_rows : Symbol::tokens;
    const int64_t count = built.dims[symbol];
    if (count == 0 || built.output().bytes() == 0) continue;
    std::vector<int64_t> backwards(static_cast<size_t>(count));
    std::iota(backwards.rbegin(), backwards.rend(), 0);
    std::vector<int64_t> more = backwards;  // padded with other rows
    for (int64_t i = 0; i < 21; ++i) more.push_back(i * 5 % count);
    std::vector<int64_t> every_third;
    for (int64_t i = count - 1; i >= 0; i -= 3) every_third.push_back(i);
    for (StepClass step : steps_of(*device, built)) {
      const std::vector<std::byte> all = run_case(*device, built, step);
      for (const auto& rows : {backwards, more, every_third, std::vector<int64_t>{count / 2}}) {
        SCOPED_TRACE(fmt::format("{}, {}, {} rows", op_case.name, to_string(step), rows.size()));
        const PickedRows picked = pick(built, symbol, rows);
        const std::vector<std::byte> found =
            run_op(*device, built, picked.inputs, picked.output, picked.results, step);
        std::vector<Tensor> outputs = built.results();
        outputs.insert(outputs.begin(), built.output());
        const std::byte* found_rows = found.data();
        const std::byte* all_rows = all.data();
        for (size_t o = 0; o < outputs.size(); ++o) {
          const Tensor& output = outputs[o];
          if (o > 0 && aliased_input(built, o - 1) >= 0) {
            // Each row has its place in a cache: all rows, in whatever order, give the same one.
            const bool has_all = std::set(rows.begin(), rows.end()).size() == static_cast<size_t>(count);
            if (has_all) {
              ASSERT_EQ(std::memcmp(found_rows, all_rows, output.bytes()), 0) << "result " << o;
            }
            found_rows += output.bytes();
            all_rows += output.bytes();
            continue;
          }
          const size_t row_bytes = output.bytes() / static_cast<size_t>(count);
          for (size_t i = 0; i < rows.size(); ++i) {
            ASSERT_EQ(std::memcmp(found_rows + i * row_bytes,
                                  all_rows + static_cast<size_t>(rows[i]) * row_bytes, row_bytes),
                      0)
                << "row " << rows[i] << " at place " << i;
          }
          found_rows += rows.size() * row_bytes;
          all_rows += output.bytes();
        }
        ASSERT_EQ(found_rows, found.data() + found.size());
        ASSERT_EQ(all_rows, all.data() + all.size());
      }
    }
  }
}

std::string case_name(const testing::TestParamInfo<std::tuple<Device, std::string>>& info) {
  const auto& [device, op] = info.param;
  return device.backend + "_" + target_word(device.target) + (device.target.empty() ? "" : "_") + op;
}

INSTANTIATE_TEST_SUITE_P(All, Cases, testing::Combine(testing::ValuesIn(devices()), testing::ValuesIn(ops())),
                         case_name);

TEST(OpTable, EveryOpHasCasesAndBadCasesInTheSameOrder) {
  std::vector<std::string_view> expected;
  for (const graph::OpEntry& entry : graph::op_table()) expected.push_back(entry.name);
  std::vector<std::string_view> found;
  for (const opcases::OpCases& row : opcases::table()) found.push_back(row.op);
  EXPECT_EQ(found, expected);
}

TEST(OpTable, CasesAreOfTheirOpNamedOnceAndTimeable) {
  std::set<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) {
    bool has_speed_case = false;
    for (const OpCase& op_case : row.cases()) {
      const BuiltCase built = build(op_case);
      EXPECT_TRUE(names.insert(op_case.name).second) << op_case.name;
      EXPECT_EQ(built.op().name(), row.op) << op_case.name;
      EXPECT_TRUE(op_case.name.starts_with(std::string(row.op) + "/")) << op_case.name;
      verify(built.graph);
      const graph::Cost cost = built.cost();
      EXPECT_GE(cost.flops, 0) << op_case.name;
      if (op_case.is_speed_case) {
        has_speed_case = true;
        EXPECT_GT(cost.bytes_read, 0) << op_case.name;
        EXPECT_GT(cost.bytes_written, 0) << op_case.name;
      }
    }
    // Views and moves are not worth timing, nor is the table that a step computes once.
    static const std::set<std::string_view> kUntimed{"concat", "reshape", "rope_table", "slice", "transpose"};
    EXPECT_EQ(has_speed_case, !kUntimed.contains(row.op)) << row.op;
  }
}

TEST(OpTable, EveryWeightTypeIsCoveredWhereAnOpTakesWeights) {
  for (const char* op : {"add", "embedding", "layer_norm", "linear", "linear_add", "linear_add_gelu",
                         "linear_add_silu", "linear_gelu", "linear_glu", "linear_group", "linear_norm",
                         "linear_qkv", "linear_silu", "mul", "pointwise", "rms_norm"}) {
    std::set<DType> types;
    for (const opcases::OpCases& row : opcases::table()) {
      if (row.op != op) continue;
      for (const OpCase& op_case : row.cases()) {
        const BuiltCase built = build(op_case);
        for (const graph::Node& node : built.graph.nodes()) {
          if (node.kind == NodeKind::weight) types.insert(node.type.dtype);
        }
      }
    }
    std::set<DType> expected{DType::f32, DType::f16, DType::bf16};
    const std::string_view name = op;
    for (int i = 0; i < kDTypeCount; ++i) {
      const auto dtype = static_cast<DType>(i);
      if (name == "embedding" || name == "linear" ? is_weight_dtype(dtype)
                                                  : name.starts_with("linear_") && is_block_dtype(dtype))
        expected.insert(dtype);
    }
    EXPECT_EQ(types, expected) << op;
  }
}

TEST(ShapeRules, RefuseBadOperandsAndSayWhatTheyExpected) {
  for (const opcases::OpCases& row : opcases::table()) {
    EXPECT_FALSE(row.bad_cases().empty()) << row.op;
    for (const opcases::BadCase& bad : row.bad_cases()) {
      graph::Graph graph;
      try {
        bad.build(graph);
        ADD_FAILURE() << row.op << "/" << bad.name << " was accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid_argument) << row.op << "/" << bad.name;
        EXPECT_EQ(error.what(), bad.message) << row.op << "/" << bad.name;
      }
    }
  }
}

TEST(ShapeRules, RefuseAnotherNumberOfInputs) {
  for (const OpCase& op_case : opcases::all_cases()) {
    BuiltCase built = build(op_case);
    if (built.op().name() == "concat") continue;  // takes any number
    std::vector<graph::TensorType> types = built.input_types();
    types.insert(types.end(), 3, types[0]);
    try {
      static_cast<void>(built.op().infer(types));
      ADD_FAILURE() << op_case.name << " took 3 more inputs";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(fmt::format("inputs, found {}", types.size())));
    }
  }
}

TEST(SimdTargets, AnUnknownOneIsRefused) {
  EXPECT_THROW(cpu::use_simd_target_for_test("AVX99"), Error);
  for (std::string_view target : cpu::simd_target_names()) {
    cpu::use_simd_target_for_test(target);
    EXPECT_EQ(cpu::simd_target_name(), target);
  }
  cpu::use_simd_target_for_test("");
  EXPECT_EQ(cpu::simd_target_name(), cpu::simd_target_names().front());
}

}  // namespace
}  // namespace ingot
