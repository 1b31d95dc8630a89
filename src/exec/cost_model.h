// What a launch and a transfer take on a device, predicted from measured rates.
//
//   launch = overhead + max(bytes / bandwidth(working set), flops / rate(rows))
//   transfer = latency + bytes / bandwidth, on each side of the host that has memory of its own
//
// DeviceCosts holds the rates: those of calibrate.h, or uniform ones for devices of invented speed. A kernel
// that was measured has rates of its own, by op, weight type and layout; another takes those of its kind, and
// failing that the device's. Values; as thread safe as those.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace ingot::exec {

/// A rate that changes with a size, as measured at some sizes: between them by the logarithm of the size,
/// beyond them that of the nearest.
struct RateCurve {
  struct Point {
    double size = 0;
    double rate = 0;
    friend bool operator==(const Point&, const Point&) = default;
  };
  std::vector<Point> points;  // by ascending size

  bool empty() const { return points.empty(); }
  /// 0 if there is no point.
  double at(double size) const;
  friend bool operator==(const RateCurve&, const RateCurve&) = default;
};

/// One kernel at one weight type.
struct KernelCosts {
  std::string op;      // as in graph/op_table.cc
  std::string kernel;  // Kernel::name
  DType weight = DType::f32;
  std::string layout;  // weight_layout()
  double launch_us = 0;
  RateCurve gbps;    // by working set, bytes; empty: bytes do not bound it
  RateCurve gflops;  // by rows of the output; empty: arithmetic does not bound it
  friend bool operator==(const KernelCosts&, const KernelCosts&) = default;
};

struct TypeRate {
  DType dtype = DType::f32;
  double gflops = 0;
  friend bool operator==(const TypeRate&, const TypeRate&) = default;
};

struct DeviceCosts {
  std::string device;            // the name users give: "cpu"
  std::string description;       // for people: "AMD EPYC, 2 threads, AVX3"
  double launch_us = 0;          // of any launch
  RateCurve gbps;                // by working set, bytes
  std::vector<TypeRate> gflops;  // by weight type; a type that is not listed has the first one's
  bool shares_host_memory = true;
  double transfer_us = 0;    // latency between this device and the host
  double transfer_gbps = 0;  // 0 where memory is shared
  std::vector<KernelCosts> kernels;

  /// A device whose every kernel has these rates; transfer_gbps 0: it shares the host's memory.
  static DeviceCosts uniform(std::string device, double launch_us, double gbps, double gflops,
                             double transfer_us, double transfer_gbps);
  friend bool operator==(const DeviceCosts&, const DeviceCosts&) = default;
};

/// What a launch must do. Of Op::cost, but for attention: there the shapes count every page of the block
/// table for every row, of which a causal row sees those before it only.
struct Work {
  double flops = 0;
  double bytes = 0;
};
Work work_of(const graph::Op& op, std::span<const graph::Tensor> inputs, const graph::Tensor& output);

/// The type that an op's speed depends on: of a linear its (first) weight's, of a lookup its table's, of
/// attention its cache's, of the others their first operand's.
DType weight_type(const graph::Op& op, std::span<const graph::Tensor> inputs);
/// "out_in" or "in_out" for linears, fused or not; "heads of 64" or "heads of 128", whichever is nearer, for
/// attention; else empty.
std::string_view weight_layout(const graph::Op& op, std::span<const graph::Tensor> inputs);

/// The kernel's own rates, or those of its kind (a fused linear runs the loops of the linear), or null.
const KernelCosts* find_costs(const DeviceCosts& costs, const backend::Kernel& kernel, const graph::Op& op,
                              std::span<const graph::Tensor> inputs);

/// Microseconds of a launch of bound shapes (data pointers are not read). For decode attention bind the pages
/// of the context in question. `working_set_bytes`: what a whole step reads on the device, weights and KV
/// cache: whether a cache holds them between two steps decides how fast they come.
double predict_us(const DeviceCosts& costs, const backend::Kernel& kernel, const graph::Op& op,
                  std::span<const graph::Tensor> inputs, const graph::Tensor& output,
                  double working_set_bytes);

/// Microseconds to bring bytes from one device to another: through the host, whose own side is free.
double transfer_us(const DeviceCosts& from, const DeviceCosts& to, double bytes);

}  // namespace ingot::exec
