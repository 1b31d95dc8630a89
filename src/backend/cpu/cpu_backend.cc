#include "backend/cpu/cpu_backend.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

#include "backend/cpu/kernels.h"
#include "backend/cpu/peaks.h"
#include "base/check.h"

namespace ingot::cpu {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

}  // namespace

CpuBackend::CpuBackend(ThreadTeam team)
    : pool_(team.threads, team.cpus),
      limits_{.device = fmt::format("{}, {} thread{}, {}", processor_name(), pool_.threads(),
                                    pool_.threads() == 1 ? "" : "s", simd_target_name()),
              .threads = pool_.threads(),
              .memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE),
              .instruction_set = std::string(simd_target_name()),
              .notes = std::move(team.notes)} {}

backend::Peaks CpuBackend::measure_peaks() {
  return {.read_gbps = measure_read_gbps(pool_),
          .f32_gflops = measure_f32_gflops(pool_),
          .int8_gops = measure_int8_gops(pool_)};
}

void CpuBackend::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void CpuBackend::zero(void* data, size_t bytes) {
  if (bytes > 0) std::memset(data, 0, bytes);
}

const backend::Kernel* CpuBackend::find_kernel(const backend::KernelQuery& query) const {
  for (const backend::Kernel& kernel : kernel_table()) {
    if (kernel.op == query.op.name() && kernel.supports(query)) return &kernel;
  }
  return nullptr;
}

std::span<const backend::Kernel> CpuBackend::kernels() const {
  return kernel_table();
}

uint64_t CpuBackend::submit(const backend::Slice& slice) {
  for (const backend::Copy& in : slice.copies_in) copy(in.to, in.from, in.bytes);
  const auto kernels = slice.kernels;
  const auto launches = slice.launches;
  size_t next = 0;
  for (size_t i = 0; i < launches.size(); ++i) {
    next = std::max(next, i + 1);
    while (next < launches.size() && kernels[next]->first_weights == nullptr) ++next;
    next_kernel_ = next < launches.size() ? kernels[next] : nullptr;
    next_launch_ = next < launches.size() ? &launches[next] : nullptr;
    kernels[i]->launch(*this, launches[i]);
  }
  next_kernel_ = nullptr;
  for (const backend::Copy& out : slice.copies_out) copy(out.to, out.from, out.bytes);
  return 0;
}

}  // namespace ingot::cpu
