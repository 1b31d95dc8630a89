// Every op case on the GPU, in both classes of steps.
#include "gpu/gpu_test.h"
#include "ops/case_checks.h"

namespace ingot {
namespace {

std::vector<std::string> ops() {
  std::vector<std::string> names;
  for (const opcases::OpCases& row : opcases::table()) names.emplace_back(row.op);
  return names;
}

class GpuCases : public OnGpu<testing::TestWithParam<std::string>> {
 protected:
  const std::vector<opcases::OpCase> cases_ = opcases::cases_of(GetParam());
};

TEST_P(GpuCases, PromptsEqualTheReference) {
  check_reference(gpu(), cases_, StepClass::prefill);
}

TEST_P(GpuCases, GeneratedTokensEqualTheReference) {
  check_reference(gpu(), cases_, StepClass::decode);
}

TEST_P(GpuCases, InPlaceGivesTheSameBits) {
  check_in_place(gpu(), cases_);
}

TEST_P(GpuCases, ARowDoesNotSeeOtherRows) {
  check_rows(gpu(), cases_, {1, 2, 7, 17, 63, 150});
}

TEST_P(GpuCases, RepeatGivesTheSameBits) {
  check_repeats(gpu(), cases_);
}

INSTANTIATE_TEST_SUITE_P(All, GpuCases, testing::ValuesIn(ops()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot
