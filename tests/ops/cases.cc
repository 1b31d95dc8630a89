// Every op case on the CPU, on every instruction set of this machine. Tests of devices: tests/gpu.
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
#include "ops/case_checks.h"

namespace ingot {
namespace {

using graph::NodeKind;
using opcases::OpCase;

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (std::string_view name : cpu::simd_target_names()) names.emplace_back(name);
  return names;
}

std::vector<std::string> ops() {
  std::vector<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) names.emplace_back(row.op);
  return names;
}

class Cases : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    const auto& [target, op] = GetParam();
    cpu::use_simd_target_for_test(target);
    cases_ = opcases::cases_of(op);
    // Large cases repeat the same loops: once, on the fastest instruction set, is enough.
    if (target != cpu::simd_target_names().front()) {
      std::erase_if(cases_, [](const OpCase& op_case) { return op_case.is_speed_case; });
    }
    ASSERT_FALSE(cases_.empty());
  }
  void TearDown() override { cpu::use_simd_target_for_test(""); }
  static std::unique_ptr<Backend> backend(int threads) {
    return backend::make_backend("cpu", {.threads = threads});
  }

  std::vector<OpCase> cases_;
};

TEST_P(Cases, EqualTheReference) {
  check_reference(*backend(3), cases_);
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
  check_in_place(*backend(2), cases_);
}

TEST_P(Cases, ARowDoesNotSeeOtherRows) {
  check_rows(*backend(2), cases_, {21});
}

std::string case_name(const testing::TestParamInfo<std::tuple<std::string, std::string>>& info) {
  return "cpu_" + target_word(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, Cases, testing::Combine(testing::ValuesIn(targets()), testing::ValuesIn(ops())),
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
