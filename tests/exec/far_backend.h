// FarBackend: the CPU as a device with memory of its own, for tests of transfers. New memory is poisoned, so
// that a value which was not brought over shows.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/check.h"

namespace ingot::exec {

class FarBackend final : public backend::Backend {
 public:
  explicit FarBackend(std::string name) : name_(std::move(name)) {}

  std::string_view name() const override { return name_; }
  backend::Limits limits() const override {
    backend::Limits limits = cpu_.limits();
    limits.shares_host_memory = false;
    return limits;
  }
  backend::Peaks measure_peaks() override { return {.read_gbps = 1, .f32_gflops = 1}; }
  PooledBuffer allocate(size_t bytes) override {
    PooledBuffer buffer = cpu_.allocate(bytes);
    std::memset(buffer.data(), 0xff, bytes);
    return buffer;
  }
  BufferPoolStatistics pool_statistics() const override { return cpu_.pool_statistics(); }
  PooledBuffer allocate_host(size_t bytes) override { return cpu_.allocate_host(bytes); }
  std::shared_ptr<const void> import_host(const void* data, size_t bytes) override {
    // An address may come again with other bytes, once the graph that had it is gone.
    const auto* first = static_cast<const std::byte*>(data);
    const auto entry = imported_.try_emplace(data).first;
    if (!std::equal(entry->second.begin(), entry->second.end(), first, first + bytes))
      entry->second.assign(first, first + bytes);
    return {std::shared_ptr<const void>(), entry->second.data()};
  }
  void zero(void* data, size_t bytes) override { cpu_.zero(data, bytes); }
  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
    ++copies_;
  }
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override {
    return cpu_.find_kernel(query);
  }
  std::span<const backend::Kernel> kernels() const override { return cpu_.kernels(); }
  uint64_t submit(const backend::Slice& slice) override {
    copies_ += slice.copies_in.size() + slice.copies_out.size();
    launches_ += slice.launches.size();
    return cpu_.submit(slice);
  }
  void wait(uint64_t ticket) override {
    if (waits_fail) fail(ErrorCode::device_failed, "{}: lost", name_);
    cpu_.wait(ticket);
  }
  void synchronize() override {}

  bool waits_fail = false;  // as on a device that is lost while it works

  size_t launches() const { return launches_; }
  size_t copies() const { return copies_; }
  size_t imports() const { return imported_.size(); }

 private:
  std::string name_;
  cpu::CpuBackend cpu_{1};
  std::map<const void*, std::vector<std::byte>> imported_;
  size_t launches_ = 0;
  size_t copies_ = 0;
};

}  // namespace ingot::exec
