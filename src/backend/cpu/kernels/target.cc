// The instruction set that run-time dispatch chose.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/target.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "backend/cpu/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
int64_t compiled_target() { return HWY_TARGET; }
}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(compiled_target);

std::string_view simd_target_name() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(compiled_target)()); }

}  // namespace ingot::cpu
#endif  // HWY_ONCE
