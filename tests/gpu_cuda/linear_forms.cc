// Every form that a shape may have gives the same bits, over the op cases of linears.
#include "backend/cuda/linear_forms.h"

#include "backend/cuda/cuda_backend.h"
#include "gpu/gpu_test.h"
#include "ops/case_checks.h"

namespace ingot {
namespace {

class GpuLinearForms : public OnGpu<testing::TestWithParam<std::string>> {};

TEST_P(GpuLinearForms, GiveTheSameBits) {
  cuda::LinearForms& forms = static_cast<cuda::CudaBackend&>(gpu()).linear_forms();
  size_t compared = 0;
  const auto check = [&](const opcases::OpCase&, const BuiltCase& built, StepClass step) {
    forms.listen();
    const std::vector<std::byte> by_rule = run_case(gpu(), built, step);
    for (const cuda::LinearForms::Asked& asked : forms.heard()) {
      for (const cuda::LinearForms::Form& form : asked.forms) {
        forms.set({.shape = asked.shape, .form = std::string(form.name), .rule = {}});
        EXPECT_TRUE(run_case(gpu(), built, step) == by_rule) << asked.shape << " as " << form.name;
        ++compared;
      }
    }
  };
  for_each_case(gpu(), opcases::cases_of(GetParam()), check);
  EXPECT_GT(compared, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, GpuLinearForms,
                         testing::Values("linear", "linear_qkv", "linear_norm", "linear_glu", "linear_add"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot
