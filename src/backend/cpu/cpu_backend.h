// The CPU backend: Highway kernels on a thread pool, memory that the host and the device share.
#pragma once

#include "backend/backend.h"
#include "base/thread_pool.h"
#include "base/thread_team.h"

namespace ingot::cpu {

class CpuBackend final : public backend::Backend {
 public:
  /// Errors: those of ThreadPool.
  explicit CpuBackend(ThreadTeam team);
  /// Exactly as many threads, pinned nowhere; 0: automatic. Errors: those of choose_thread_team().
  explicit CpuBackend(int threads)
      : CpuBackend(choose_thread_team({.threads = threads, .pin = false, .cap = false})) {}

  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }

  std::string_view name() const override { return "cpu"; }
  backend::Limits limits() const override { return limits_; }
  backend::Peaks measure_peaks() override;
  PooledBuffer allocate(size_t bytes) override { return memory_.acquire(bytes); }
  BufferPoolStatistics pool_statistics() const override { return memory_.statistics(); }
  PooledBuffer allocate_host(size_t bytes) override { return memory_.acquire(bytes); }
  std::shared_ptr<const void> import_host(const void* data, size_t /*bytes*/) override {
    return {std::shared_ptr<const void>(), data};  // the same bytes, whose owner is the caller's concern
  }
  void copy(void* to, const void* from, size_t bytes) override;
  void zero(void* data, size_t bytes) override;
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override;
  std::span<const backend::Kernel> kernels() const override;
  uint64_t submit(const backend::Slice& slice) override;
  void wait(uint64_t /*ticket*/) override {}  // submit() returns when the work is done
  void synchronize() override {}

  /// Where `thread` will begin to read weights in the launches that come after the current one; null where
  /// that is not known. For kernels, on the pool's threads.
  const void* next_weights(int thread) const {
    return next_kernel_ == nullptr ? nullptr : next_kernel_->first_weights(*this, *next_launch_, thread);
  }

 private:
  const backend::Kernel* next_kernel_ = nullptr;  // while a launch runs: the next that reads weights
  const backend::Launch* next_launch_ = nullptr;
  ThreadPool pool_;
  BufferPool memory_;
  backend::Limits limits_;
};

/// Host threads of the backend, without a copy of its limits.
inline int threads_of(const backend::Backend& backend) {
  return static_cast<const CpuBackend&>(backend).threads();
}

/// The pool of the backend a kernel was launched on.
inline ThreadPool& pool_of(backend::Backend& backend) {
  return static_cast<CpuBackend&>(backend).pool();
}

}  // namespace ingot::cpu
