// A fused kernel gives the bits of the unfused kernels of its definition, run one after the other. On
// devices, where they add in other orders: tests/gpu/fused.cc.
#include "backend/cpu/kernels.h"
#include "backend/registry.h"
#include "ops/unfused.h"

namespace ingot {
namespace {

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (std::string_view name : cpu::simd_target_names()) names.emplace_back(name);
  return names;
}

class FusedKernels : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(FusedKernels, GiveTheBitsOfTheUnfusedOnes) {
  const auto& [target, op] = GetParam();
  cpu::use_simd_target_for_test(target);
  const auto device = backend::make_backend("cpu", {.threads = 3});
  for (const opcases::OpCase& op_case : opcases::cases_of(op)) {
    if (op_case.is_speed_case && target != cpu::simd_target_names().front()) continue;
    const BuiltCase built = build(op_case);
    for (StepClass step : steps_of(*device, built)) {
      SCOPED_TRACE(op_case.name + ", " + std::string(to_string(step)));
      ASSERT_NE(kernel_of(*device, built, step)->name, "reference") << "no kernel of its own";
      ASSERT_TRUE(run_case(*device, built, step) == run_unfused(*device, built, step).bytes);
    }
  }
  cpu::use_simd_target_for_test("");
}

INSTANTIATE_TEST_SUITE_P(All, FusedKernels,
                         testing::Combine(testing::ValuesIn(targets()), testing::ValuesIn(fused_ops())),
                         [](const auto& info) {
                           return target_word(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace ingot
