#include "backend/backend.h"

#include <chrono>

namespace ingot::backend {

std::string_view to_string(StepClass step) {
  return step == StepClass::prefill ? "prefill" : "decode";
}

void Backend::profile(const Slice& slice, std::span<double> launch_us) {
  using Clock = std::chrono::steady_clock;
  for (size_t i = 0; i < slice.launches.size(); ++i) {
    const auto start = Clock::now();
    submit({.kernels = slice.kernels.subspan(i, 1), .launches = slice.launches.subspan(i, 1)});
    synchronize();
    launch_us[i] = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }
}

}  // namespace ingot::backend
