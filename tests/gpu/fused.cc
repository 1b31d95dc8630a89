// On the GPU a fused kernel gives what the unfused kernels of its definition give, up to the order of sums
// and what either rounds.
#include "gpu/gpu_test.h"
#include "ops/case_checks.h"
#include "ops/unfused.h"

namespace ingot {
namespace {

class GpuFusedKernels : public OnGpu<testing::TestWithParam<std::string>> {};

TEST_P(GpuFusedKernels, GiveWhatTheUnfusedOnesGive) {
  const auto check = [&](const opcases::OpCase& op_case, const BuiltCase& built, StepClass step) {
    const Unfused unfused = run_unfused(gpu(), built, step);
    const double rounding = kernel_of(gpu(), built, step)->rounding + unfused.rounding;
    opcases::Tolerance tolerance = op_case.tolerance;  // of each against the truth
    tolerance.absolute = 2 * tolerance.absolute + op_case.per_rounding * rounding;
    tolerance.relative *= 2;
    expect_close(run_case(gpu(), built, step), unfused.bytes, built.output().dtype, tolerance);
  };
  for_each_case(gpu(), opcases::cases_of(GetParam()), check);
}

INSTANTIATE_TEST_SUITE_P(All, GpuFusedKernels, testing::ValuesIn(fused_ops()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ingot
