// The null backend: plans everything, runs nothing. For tests of graphs, planners and routers.
#pragma once

#include <vector>

#include "backend/backend.h"

namespace ingot::null {

class NullBackend final : public backend::Backend {
 public:
  /// Has a kernel for each op of the table, but for those named in `without`.
  explicit NullBackend(std::vector<std::string_view> without = {});

  std::string_view name() const override { return "null"; }
  backend::Limits limits() const override {
    return {.device = "null", .threads = 1, .memory_bytes = int64_t{1} << 40};
  }
  backend::Peaks measure_peaks() override { return {.read_gbps = 1, .f32_gflops = 1}; }
  PooledBuffer allocate(size_t bytes) override { return memory_.acquire(bytes); }
  BufferPoolStatistics pool_statistics() const override { return memory_.statistics(); }
  const void* import_host(const void* data, size_t /*bytes*/) override { return data; }
  void copy(void*, const void*, size_t) override {}
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override;
  std::span<const backend::Kernel> kernels() const override { return kernels_; }
  void submit(std::span<const backend::Kernel* const> kernels,
              std::span<const backend::Launch> launches) override;
  void synchronize() override {}

  /// Launches submitted so far.
  int64_t launches() const { return launches_; }

 private:
  std::vector<backend::Kernel> kernels_;
  BufferPool memory_;
  int64_t launches_ = 0;
};

}  // namespace ingot::null
