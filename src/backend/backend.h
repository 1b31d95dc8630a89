// The interface between plans and devices: a device, its memory, and a table of kernels.
//
// Kernels are plain functions on addresses and sizes. A backend is used by one runner at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"
#include "memory/buffer_pool.h"

namespace ingot::backend {

/// A step is all-prefill or all-decode: prompt tokens take prefill kernels, generated ones decode kernels,
/// whatever the batch, so that a request's bits never depend on its company.
enum class StepClass : uint8_t { prefill, decode };

std::string_view to_string(StepClass step);

class Backend;

/// One kernel call of a plan. The tensors' addresses stay as planned; their shapes are those of the step.
struct Launch {
  const graph::Op* op = nullptr;
  std::span<const graph::Tensor> inputs;
  graph::Tensor output;
  std::span<const graph::Tensor> results;  // the op's further ones; newest versions are their inputs' storage
  std::span<std::byte> workspace;
};

/// What a kernel is chosen by.
struct KernelQuery {
  const graph::Op& op;
  std::span<const graph::TensorType> inputs;
  const graph::TensorType& output;
  StepClass step;
};

/// A row of a backend's kernel table.
struct Kernel {
  std::string_view op;    // the op's name in graph/op_table.cc
  std::string_view name;  // for tables and explain
  bool (*supports)(const KernelQuery& query);
  /// Scratch bytes for a launch of these shapes, the largest of a bucket. Null: none.
  size_t (*workspace_bytes)(const Backend& backend, const Launch& launch);
  void (*launch)(Backend& backend, const Launch& launch);
  /// Where a thread of the host begins to read weights, or null: the launches before it may ask for them
  /// while the thread has nothing else to do. Null: the kernel reads none, or the device has no use for it.
  const void* (*first_weights)(const Backend& backend, const Launch& launch, int thread) = nullptr;
};

struct Limits {
  std::string device;                   // for people: "AMD EPYC, 2 threads, AVX3"
  int threads = 1;                      // host threads that take part; 1 for devices
  int64_t memory_bytes = 0;             // what the device has in all
  bool shares_host_memory = true;       // host and device read and write each other's bytes in place
  std::string instruction_set = {};     // that the kernels run with, where a device has several: "AVX3"
  std::vector<std::string> notes = {};  // what was asked of the device and is not so: a sentence each
};

/// What a device can do at most, measured.
struct Peaks {
  double read_gbps = 0;   // GB/s from memory, not from a cache
  double f32_gflops = 0;  // GFLOP/s, two a multiply-add
  double int8_gops = 0;   // the same of 8-bit integers: what weights in blocks are multiplied with
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu", "null": the name users give to --device.
  virtual std::string_view name() const = 0;
  virtual Limits limits() const = 0;
  /// Measures now, in about a second.
  virtual Peaks measure_peaks() = 0;

  /// Device memory from the backend's pool. Errors: out_of_memory.
  virtual PooledBuffer allocate(size_t bytes) = 0;
  virtual BufferPoolStatistics pool_statistics() const = 0;
  /// The device's address for host bytes that outlive every plan: the weights. Unified memory: the same.
  virtual const void* import_host(const void* data, size_t bytes) = 0;
  /// Copies between host and device addresses.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;

  /// The first row of the table that supports the query, or null.
  virtual const Kernel* find_kernel(const KernelQuery& query) const = 0;
  /// Every row, for listings.
  virtual std::span<const Kernel> kernels() const = 0;
  /// Runs a plan slice in order. `kernels[i]` belongs to `launches[i]`.
  virtual void submit(std::span<const Kernel* const> kernels, std::span<const Launch> launches) = 0;
  /// Returns when all submitted work is done. Errors of the device surface here.
  virtual void synchronize() = 0;
};

}  // namespace ingot::backend
