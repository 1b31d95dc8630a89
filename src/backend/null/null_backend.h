// The null backend: plans everything, runs nothing. For tests of graphs, planners and routers, which may have
// several side by side.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"

namespace ingot::null {

struct NullOptions {
  std::string name = "null";
  std::vector<std::string_view> without = {};  // ops that it has no kernel for
  int64_t memory_bytes = int64_t{1} << 40;
  bool shares_host_memory = true;
  backend::Peaks peaks = {.read_gbps = 1, .f32_gflops = 1};
};

class NullBackend : public backend::Backend {
 public:
  explicit NullBackend(NullOptions options = {});

  std::string_view name() const override { return options_.name; }
  backend::Limits limits() const override {
    return {.device = options_.name,
            .threads = 1,
            .memory_bytes = options_.memory_bytes,
            .shares_host_memory = options_.shares_host_memory};
  }
  backend::Peaks measure_peaks() override { return options_.peaks; }
  PooledBuffer allocate(size_t bytes) override { return memory_.acquire(bytes); }
  BufferPoolStatistics pool_statistics() const override { return memory_.statistics(); }
  PooledBuffer allocate_host(size_t bytes) override { return memory_.acquire(bytes); }
  std::shared_ptr<const void> import_host(const void* data, size_t /*bytes*/) override {
    return {std::shared_ptr<const void>(), data};
  }
  void copy(void*, const void*, size_t) override { ++copies_; }
  void zero(void*, size_t) override {}
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override;
  std::span<const backend::Kernel> kernels() const override { return kernels_; }
  uint64_t submit(const backend::Slice& slice) override;
  void wait(uint64_t /*ticket*/) override {}
  void synchronize() override {}

  /// Launches submitted so far.
  int64_t launches() const { return launches_; }
  int64_t copies() const { return copies_; }

 private:
  NullOptions options_;
  std::vector<backend::Kernel> kernels_;
  BufferPool memory_;
  int64_t launches_ = 0;
  int64_t copies_ = 0;
};

}  // namespace ingot::null
