// The instruction set that run-time dispatch chose, and how tests choose another.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/target.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels.h"
#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
int64_t compiled_target() {
  return HWY_TARGET;
}
}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(compiled_target);

std::string_view simd_target_name() {
  return hwy::TargetName(HWY_DYNAMIC_DISPATCH(compiled_target)());
}

namespace {

/// What the machine can run and the build has, whatever a test has chosen since.
int64_t usable_targets() {
  static const int64_t usable = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;
  return usable;
}

}  // namespace

std::vector<std::string_view> simd_target_names() {
  std::vector<std::string_view> names;
  for (int bit = 0; bit < 63; ++bit) {
    if ((usable_targets() >> bit & 1) != 0) names.emplace_back(hwy::TargetName(int64_t{1} << bit));
  }
  return names;
}

void use_simd_target_for_test(std::string_view name) {
  for (int bit = 0; bit < 63; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((usable_targets() & target) == 0 || (!name.empty() && hwy::TargetName(target) != name)) continue;
    hwy::SetSupportedTargetsForTest(target);  // the lowest bit is the widest
    hwy::GetChosenTarget().Update(target);
    return;
  }
  fail(ErrorCode::invalid_argument, "cpu: this machine and build have no instruction set '{}'", name);
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
