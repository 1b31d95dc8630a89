// The instruction set that run-time dispatch chose, and how tests choose another.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/target.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#if HWY_ARCH_X86
#include <cpuid.h>
#elif HWY_OS_LINUX
#include <sys/auxv.h>
#endif

#include <string>

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

namespace {

/// What the machine can run and the build has, whatever a test has chosen since.
int64_t usable_targets() {
  static const int64_t usable = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;
  return usable;
}

/// Whether the machine has an instruction for dot products of bytes that kernels of a target use.
bool machine_has_int8_dot(int64_t target) {
#if HWY_ARCH_X86
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if (target == HWY_AVX3) return (ecx >> 11 & 1) != 0;  // AVX512_VNNI
  if (target != HWY_AVX2 || eax == 0) return false;     // eax: the last subleaf
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (eax >> 4 & 1) != 0;  // AVX_VNNI
#elif HWY_ARCH_ARM_A64
  if (target != HWY_NEON) return false;
#if defined(__ARM_FEATURE_DOTPROD) || defined(__APPLE__)  // all of Apple's have it
  return true;
#elif HWY_OS_LINUX
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
#else
  static_cast<void>(target);
  return false;
#endif
}

/// An instruction set that kernels run with, of those there are.
struct Variant {
  int64_t target = 0;
  bool has_dot = false;
  std::string name;
};

const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = [] {
    std::vector<Variant> found;
    for (int bit = 0; bit < 63; ++bit) {  // the lowest bit is the widest
      const int64_t target = int64_t{1} << bit;
      if ((usable_targets() & target) == 0) continue;
      const std::string name = hwy::TargetName(target);
      if (machine_has_int8_dot(target))
        found.push_back({target, true, name + (HWY_ARCH_X86 ? "+VNNI" : "+DOTPROD")});
      found.push_back({target, false, name});
    }
    return found;
  }();
  return all;
}

/// What a test has chosen; null: the best.
const Variant* chosen = nullptr;

const Variant& variant_in_use() {
  return chosen != nullptr ? *chosen : variants().front();
}

}  // namespace

bool has_int8_dot() {
  return variant_in_use().has_dot;
}

std::string_view simd_target_name() {
  // What dispatch does, not what it should do.
  const int64_t target = HWY_DYNAMIC_DISPATCH(compiled_target)();
  INGOT_CHECK(target == variant_in_use().target, "kernels run with {}, not {}", hwy::TargetName(target),
              variant_in_use().name);
  return variant_in_use().name;
}

std::vector<std::string_view> simd_target_names() {
  std::vector<std::string_view> names;
  for (const Variant& variant : variants()) names.emplace_back(variant.name);
  return names;
}

void use_simd_target_for_test(std::string_view name) {
  for (const Variant& variant : variants()) {
    if (!name.empty() && variant.name != name) continue;
    hwy::SetSupportedTargetsForTest(variant.target);
    hwy::GetChosenTarget().Update(variant.target);
    chosen = name.empty() ? nullptr : &variant;
    return;
  }
  fail(ErrorCode::invalid_argument, "cpu: this machine and build have no instruction set '{}'", name);
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
