// The operator table: what single ops take on each device, over sizes, against what the device can do.
//
// Operands lie on the device; bringing them there and back is measured apart. Every function throws
// ingot::Error and nothing else. Nothing else should run meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/error.h"

namespace ingot {

struct BenchOpsOptions {
  std::vector<std::string> devices = {};  // empty: those that are there
  std::vector<std::string> ops = {};      // empty: all; "linear" is "linear f32" and "linear bf16"
  int threads = 0;                        // of the CPU; 0: one on each performance core
  bool quick = false;                     // fewer and smaller sizes, shorter measurements
  /// Gets one line, without an end, for each op that is begun.
  std::function<void(std::string_view line)> progress = {};
};

struct OpTiming {
  double us = 0;
  double gbps = 0;  // of the bytes that the op must read and write
  double gflops = 0;
  double share = 0;  // of what the device's peaks allow; above 1 where a cache has the operands
  std::string kernels;
};

struct OpOnDevice {
  std::string device;
  std::optional<OpTiming> unfused;  // the op or, of a fused op, the ops of its definition one by one
  std::optional<OpTiming> fused;
  std::string why_not;  // where one of them is missing
  double to_device_us = 0;
  double from_device_us = 0;

  /// The faster of the two, or null.
  const OpTiming* best() const {
    if (!fused) return unfused ? &*unfused : nullptr;
    return unfused && unfused->us < fused->us ? &*unfused : &*fused;
  }
};

struct OpRow {
  std::string op;
  std::string shape;
  int64_t elements = 0;  // of the output
  bool is_model_size = false;
  std::vector<OpOnDevice> devices;  // as in OpBench::devices
  // Of the first device that is not the CPU, against the best on the CPU; 0 where one of them is missing.
  double speedup = 0;
  double fused_speedup = 0;
  double fused_gain = 0;  // fused against unfused on that device
  // What is asked at the sizes of models; 0: nothing.
  double target = 0;
  double fused_target = 0;
  std::optional<bool> is_met;
};

/// From how many elements of output on an op is faster on a device than on the CPU.
struct OpCrossover {
  std::string op;
  std::optional<int64_t> elements;  // none: at no size that was measured
  bool is_smallest = false;         // at the smallest size that was measured, perhaps below
};

struct AllocationCost {
  int64_t bytes = 0;
  double driver_us = 0;  // a pair of allocate and free
  double pool_us = 0;
  double target = 0;  // times as fast; 0: nothing is asked
};
struct TransferCost {
  int64_t bytes = 0;
  double to_device_gbps = 0;
  double from_device_gbps = 0;
};

struct OpDevice {
  std::string name;
  std::string description;
  double read_gbps = 0;
  double f32_gflops = 0;
  double matrix16_gflops = 0;  // 0: no units for it
  // Empty and zero for the CPU.
  std::vector<AllocationCost> allocations;
  std::vector<TransferCost> transfers;
  double creation_ms = 0;
  double empty_launch_us = 0;
  double replay_us = 0;
};

struct OpBench {
  std::vector<OpDevice> devices;
  std::vector<std::string> missing;  // why a device is not there: a sentence each
  std::vector<OpRow> rows;
  std::vector<OpCrossover> crossovers;  // empty without two devices
  bool is_quick = false;
  double seconds = 0;  // that it took
};

/// Measures. Takes up to 2 GiB of each device's memory. Errors: invalid_argument for a name that is no op of
/// the table or no device of this build, not_found or unsupported for a named device that is not there,
/// out_of_memory.
OpBench bench_ops(const BenchOpsOptions& options = {});

}  // namespace ingot
