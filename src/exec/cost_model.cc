#include "exec/cost_model.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "graph/ops/attention.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/linear_qkv.h"

namespace ingot::exec {
namespace {

using graph::Op;
using graph::Tensor;
using graph::WeightOrder;

// GB/s and GFLOP/s: thousands of bytes or operations a microsecond.
constexpr double kPerMicrosecond = 1e3;

/// Where a linear's first weight stands and how it is stored; none for other ops.
struct LinearWeight {
  size_t input = 0;
  WeightOrder order = WeightOrder::out_in;
};
std::optional<LinearWeight> linear_weight(const Op& op) {
  if (const auto* plain = dynamic_cast<const graph::LinearOp*>(&op)) return {{1, plain->order()}};
  if (const auto* fused = dynamic_cast<const graph::FusedLinearOp*>(&op)) {
    return {{static_cast<size_t>(fused->form().weight_input(0)), fused->form().parts[0].order}};
  }
  if (const auto* qkv = dynamic_cast<const graph::LinearQkvOp*>(&op)) {
    return {{static_cast<size_t>(qkv->form().weight_input(0)), qkv->form().order}};
  }
  return std::nullopt;
}

bool is_streaming(const Op& op) {
  return linear_weight(op) || op.name() == "attention";
}

double rows_of(const Tensor& output) {
  return output.shape.rank() > 0 ? static_cast<double>(output.shape[0]) : 1;
}

/// The keys that a row sees on average, as a share of the block table's.
double causal_share(const graph::AttentionOp& op, std::span<const Tensor> inputs, const Tensor& output) {
  const double context = static_cast<double>(inputs[5].shape[1] * inputs[1].shape[2]);
  const double sequences = static_cast<double>(inputs[4].shape[0]);
  if (context <= 0 || sequences <= 0) return 1;
  // The last of a sequence's rows sees all, each row before it one fewer.
  const double rows = std::min(context, static_cast<double>(output.shape[0]) / sequences);
  double seen = context - std::max(0.0, rows - 1) / 2;
  if (op.window() > 0) seen = std::min(seen, static_cast<double>(op.window()));
  return seen / context;
}

}  // namespace

double RateCurve::at(double size) const {
  if (points.empty()) return 0;
  if (size <= points.front().size) return points.front().rate;
  for (size_t i = 1; i < points.size(); ++i) {
    const Point& low = points[i - 1];
    const Point& high = points[i];
    if (size > high.size) continue;
    const double share = std::log(size / low.size) / std::log(high.size / low.size);
    return low.rate + share * (high.rate - low.rate);
  }
  return points.back().rate;
}

DeviceCosts DeviceCosts::uniform(std::string device, double launch_us, double gbps, double gflops,
                                 double transfer_us, double transfer_gbps) {
  DeviceCosts costs;
  costs.description = device;
  costs.device = std::move(device);
  costs.launch_us = launch_us;
  costs.gbps.points = {{.size = 1, .rate = gbps}};
  costs.gflops = {{.dtype = DType::f32, .gflops = gflops}};
  costs.shares_host_memory = transfer_gbps <= 0;
  costs.transfer_us = transfer_us;
  costs.transfer_gbps = transfer_gbps;
  return costs;
}

Work work_of(const Op& op, std::span<const Tensor> inputs, const Tensor& output) {
  const graph::Cost cost = op.cost(inputs, output);
  Work work{.flops = cost.flops, .bytes = cost.bytes_read + cost.bytes_written};
  if (const auto* attention = dynamic_cast<const graph::AttentionOp*>(&op)) {
    work.flops *= causal_share(*attention, inputs, output);
  }
  return work;
}

namespace {
/// The type whose measures stand for this one's: the k formats and their like cost about what q4_k does.
DType measured_type(DType type) {
  return is_block_dtype(type) && type != DType::q8_0 ? DType::q4_k : type;
}
}  // namespace

DType weight_type(const Op& op, std::span<const Tensor> inputs) {
  if (const auto weight = linear_weight(op)) return inputs[weight->input].dtype;
  if ((op.name() == "embedding" || op.name() == "attention") && inputs.size() > 1) return inputs[1].dtype;
  return inputs.empty() ? DType::f32 : inputs[0].dtype;
}

std::string_view weight_layout(const Op& op, std::span<const Tensor> inputs) {
  constexpr int64_t kWideHead = 96;  // halfway, in doublings, between the two
  if (const auto weight = linear_weight(op))
    return weight->order == WeightOrder::out_in ? "out_in" : "in_out";
  if (op.name() == "attention") return inputs[0].shape[2] < kWideHead ? "heads of 64" : "heads of 128";
  return {};
}

const KernelCosts* find_costs(const DeviceCosts& costs, const backend::Kernel& kernel, const Op& op,
                              std::span<const Tensor> inputs) {
  if (costs.kernels.empty()) return nullptr;
  const DType type = measured_type(weight_type(op, inputs));
  const std::string_view layout = weight_layout(op, inputs);
  const bool is_linear = linear_weight(op).has_value();
  const bool is_decode = kernel.name.ends_with("decode");
  const KernelCosts* best = nullptr;
  int best_match = 0;
  for (const KernelCosts& entry : costs.kernels) {
    if (entry.weight != type || entry.layout != layout) continue;
    int match = 0;
    if (entry.op == kernel.op && entry.kernel == kernel.name) {
      match = 3;
    } else if (is_linear && entry.kernel == kernel.name) {
      match = 2;
    } else if (is_linear && entry.op == "linear" && entry.kernel.ends_with("decode") == is_decode) {
      match = 1;
    }
    if (match > best_match) {
      best = &entry;
      best_match = match;
    }
  }
  return best;
}

double predict_us(const DeviceCosts& costs, const backend::Kernel& kernel, const Op& op,
                  std::span<const Tensor> inputs, const Tensor& output, double working_set_bytes) {
  const Work work = work_of(op, inputs, output);
  // Activations were written a moment ago: a cache holds them or not by their own size.
  const double set = is_streaming(op) ? std::max(working_set_bytes, work.bytes) : work.bytes;
  double launch_us = costs.launch_us;
  double gbps = 0;
  double gflops = 0;
  if (const KernelCosts* own = find_costs(costs, kernel, op, inputs)) {
    launch_us = own->launch_us;
    gbps = own->gbps.at(set);
    gflops = own->gflops.at(rows_of(output));
  } else {
    gbps = costs.gbps.at(set);
    const DType type = measured_type(weight_type(op, inputs));
    for (const TypeRate& rate : costs.gflops) {
      if (gflops == 0 || rate.dtype == type) gflops = rate.gflops;
    }
  }
  const double memory_us = gbps > 0 ? work.bytes / (gbps * kPerMicrosecond) : 0;
  const double arithmetic_us = gflops > 0 ? work.flops / (gflops * kPerMicrosecond) : 0;
  return launch_us + std::max(memory_us, arithmetic_us);
}

double transfer_us(const DeviceCosts& from, const DeviceCosts& to, double bytes) {
  if (from.device == to.device || bytes <= 0) return 0;
  double us = 0;
  for (const DeviceCosts* side : {&from, &to}) {
    if (side->shares_host_memory) continue;
    INGOT_CHECK(side->transfer_gbps > 0, "{}: a transfer bandwidth of {}", side->device, side->transfer_gbps);
    us += side->transfer_us + bytes / (side->transfer_gbps * kPerMicrosecond);
  }
  return us;
}

}  // namespace ingot::exec
