#include "exec/plan_cache.h"

#include <fmt/ranges.h>

namespace ingot::exec {
namespace {

/// Everything that a plan follows from. Pointers stand for what they point to: the cache keeps the graph
/// alive, the caller the backends and costs.
std::string key_of(const graph::Graph* graph, const graph::DimValues& bucket, backend::StepClass step,
                   std::span<const Device> devices, const CompileOptions& options,
                   std::span<const PassedOver> missing) {
  std::string key = fmt::format("{} {} {}", static_cast<const void*>(graph), fmt::join(bucket.values, ","),
                                to_string(step));
  for (const Device& device : devices) {
    key += fmt::format("\ndevice {} {} {} {}", device.name, static_cast<const void*>(device.backend),
                       static_cast<const void*>(device.costs), device.calibration_hash);
  }
  for (const PassedOver& device : missing)
    key += fmt::format("\nmissing {}: {}", device.device, device.reason);
  return key + "\n" + to_text(options);
}

}  // namespace

std::string to_text(const CompileOptions& options) {
  std::string text = fmt::format("no-fuse {}", fmt::join(options.no_fuse, ","));
  for (const auto& [op, elements] : options.route) text += fmt::format("\nroute {}={}", op, elements);
  for (const LayerRange& range : options.layers)
    text += fmt::format("\nlayers {}-{}={}", range.first, range.last, range.device);
  for (const auto& [device, bytes] : options.memory) text += fmt::format("\nmemory {}={}", device, bytes);
  return text + (options.strict ? "\nstrict" : "");
}

std::shared_ptr<const Plan> PlanCache::get(const std::shared_ptr<const graph::Graph>& graph,
                                           const graph::DimValues& bucket, backend::StepClass step,
                                           std::span<const Device> devices, const CompileOptions& options,
                                           std::span<const PassedOver> missing) {
  const std::string key = key_of(graph.get(), bucket, step, devices, options, missing);
  const std::scoped_lock lock(mutex_);
  const auto found = plans_.find(key);
  if (found != plans_.end()) {
    ++hits_;
    return found->second;
  }
  ++misses_;
  auto plan = compile(graph, bucket, step, devices, options, missing);
  plans_.emplace(key, plan);
  return plan;
}

PlanCacheStatistics PlanCache::statistics() const {
  const std::scoped_lock lock(mutex_);
  return {.hits = hits_, .misses = misses_, .entries = plans_.size()};
}

void PlanCache::clear() {
  const std::scoped_lock lock(mutex_);
  plans_.clear();
}

}  // namespace ingot::exec
