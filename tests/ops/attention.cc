// What attention owes the step contract: a sequence's rows have the same bits alone, beside others, in a
// padded step, and however its prompt is cut into chunks.
#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "ops/attention_checks.h"

namespace ingot {
namespace {

class Attention : public testing::TestWithParam<std::tuple<std::string, StepClass, int64_t>> {
 protected:
  void SetUp() override { cpu::use_simd_target_for_test(std::get<0>(GetParam())); }
  void TearDown() override { cpu::use_simd_target_for_test(""); }
  StepClass step() const { return std::get<1>(GetParam()); }
  int64_t window() const { return std::get<2>(GetParam()); }
  std::unique_ptr<Backend> backend_ = backend::make_backend("cpu", {.threads = 3});
};

TEST_P(Attention, ASequenceHasTheSameBitsAloneAndInEveryCompany) {
  check_attention_company(*backend_, {}, step(), window());
}

TEST_P(Attention, APromptHasTheSameBitsHoweverItIsCut) {
  check_attention_chunks(*backend_, {}, step(), window());
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
