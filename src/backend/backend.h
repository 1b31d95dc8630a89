// The interface between plans and devices: a device, its memory, and a table of kernels.
//
// Kernels are plain functions on addresses and sizes. A backend is used by one runner at a time. What is
// submitted to one backend runs in the order of the calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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
  bool is_for_next = false;  // nothing but the launch behind it on its device reads the output
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
  /// What the kernel rounds operands to before it multiplies them, as the largest relative error: 0 for those
  /// that keep f32, 2^-8 for bf16. Op cases allow for it.
  double rounding = 0;
};

/// Bytes to bring from one address to another.
struct Copy {
  void* to = nullptr;
  const void* from = nullptr;
  size_t bytes = 0;
};

/// A part of a plan: copies, then launches, then copies. Host memory that it names is from allocate_host().
struct Slice {
  std::span<const Copy> copies_in = {};
  std::span<const Kernel* const> kernels;  // [i] belongs to launches[i]
  std::span<const Launch> launches;
  std::span<const Copy> copies_out = {};
  /// Equal ids of one backend stand for equal kernels, addresses and shapes: a device may record the slice
  /// and repeat it. 0: never submitted again.
  uint64_t id = 0;
};

struct Limits {
  std::string device;                // for people: "AMD EPYC, 2 threads, AVX3"
  int threads = 1;                   // host threads that take part; 1 for devices
  int64_t memory_bytes = 0;          // what the device has in all
  bool shares_host_memory = true;    // host and device read and write each other's bytes in place
  bool records_slices = false;       // repeats slices of equal ids: steps gain by having few different sizes
  std::string instruction_set = {};  // that the kernels run with, where a device has several: "AVX3"
  std::vector<std::string> notes = {};  // what was asked of the device and is not so: a sentence each
};

/// What a device can do at most, measured.
struct Peaks {
  double read_gbps = 0;   // GB/s from memory, not from a cache
  double f32_gflops = 0;  // GFLOP/s, two a multiply-add
  double int8_gops = 0;   // the same of 8-bit integers: what weights in blocks are multiplied with
  /// GFLOP/s of products of 16-bit matrices, added in f32, where the device has units for them; else 0.
  double matrix16_gflops = 0;
};

/// What a device takes beside its kernels, measured. Empty where there is nothing of the kind.
struct Overheads {
  struct Allocation {  // a pair of allocate and free
    size_t bytes = 0;
    double driver_us = 0;
    double pool_us = 0;
  };
  struct TransferRate {  // from and to pinned host memory
    size_t bytes = 0;
    double to_device_gbps = 0;
    double from_device_gbps = 0;
  };
  std::vector<Allocation> allocations;
  std::vector<TransferRate> transfers;
  double creation_ms = 0;      // of the backend, as it started
  double empty_launch_us = 0;  // a kernel that does nothing, launched and waited for
  double replay_us = 0;        // of each kernel in a recorded slice of many empty ones
};

/// What import_host() has brought over.
struct ImportStatistics {
  uint64_t bytes = 0;
  double seconds = 0;  // while something was on its way
  int threads = 0;     // of the host, that read it
};

/// Of kernels that a device has several forms of, with the same bits: the one that it runs for a shape.
struct TunedForm {
  std::string shape;   // "bf16 2048 -> 16384, gated"
  std::string form;    // "2 blocks, 16 outputs"
  std::string rule;    // the form that it runs untuned
  double step_us = 0;  // of the step that it was measured in
  double rule_us = 0;  // of the same step with the form of the rule
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu", "null": the name users give to --device.
  virtual std::string_view name() const = 0;
  virtual Limits limits() const = 0;
  /// Measures now, in about a second.
  virtual Peaks measure_peaks() = 0;
  /// Measures now, in a few seconds.
  virtual Overheads measure_overheads() { return {}; }

  /// Device memory from the backend's pool. Errors: out_of_memory.
  virtual PooledBuffer allocate(size_t bytes) = 0;
  virtual BufferPoolStatistics pool_statistics() const = 0;
  /// Host memory that the device copies from and to while the host goes on. Errors: out_of_memory.
  virtual PooledBuffer allocate_host(size_t bytes) = 0;
  /// The device's address for host bytes that stay as they are while the result lives: the weights. Unified
  /// memory: the same. The bytes may still be on their way; the next submit waits for them. Errors:
  /// out_of_memory.
  virtual std::shared_ptr<const void> import_host(const void* data, size_t bytes) = 0;
  virtual ImportStatistics import_statistics() const { return {}; }
  /// Copies between host and device addresses, after all that was submitted; done when it returns.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Sets device bytes to zero, in order.
  virtual void zero(void* data, size_t bytes) = 0;

  /// The first row of the table that supports the query, or null.
  virtual const Kernel* find_kernel(const KernelQuery& query) const = 0;
  /// Every row, for listings.
  virtual std::span<const Kernel> kernels() const = 0;
  /// Runs a slice after all that was submitted before. May return while it runs; the launches' tensors may
  /// change then, the bytes they refer to not. Returns a ticket for wait(). Errors: device_failed, by now or
  /// at a later call.
  virtual uint64_t submit(const Slice& slice) = 0;
  /// Returns when the slice of this ticket, and so all before it, is done.
  virtual void wait(uint64_t ticket) = 0;
  /// Returns when all submitted work is done. Errors of the device surface here.
  virtual void synchronize() = 0;
  /// Runs the launches of a slice once and measures each on its own: microseconds.
  virtual void profile(const Slice& slice, std::span<double> launch_us);
  /// Runs a slice, which may be repeated, with every form of the kernels that there are several of, and uses
  /// the fastest from then on; seconds. Returns them all, in the order of the launches.
  virtual std::vector<TunedForm> tune(const Slice& /*slice*/) { return {}; }
  /// What tune() found in another run. Before anything is submitted. Errors: invalid_argument for a form that
  /// there is not.
  virtual void use_forms(std::span<const TunedForm> /*forms*/) {}
  /// What of both is in use.
  virtual std::span<const TunedForm> forms() const { return {}; }
};

}  // namespace ingot::backend
