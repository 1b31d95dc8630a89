// PlanCache: plans kept by what they were compiled from, so that a graph is compiled once for its bucket.
//
// Keeps its plans, and with them their graphs, alive until clear(). Thread safety: every method from any
// thread; plans compile one at a time.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "exec/plan.h"

namespace ingot::exec {

struct PlanCacheStatistics {
  uint64_t hits = 0;
  uint64_t misses = 0;  // plans compiled
  size_t entries = 0;
};

class PlanCache {
 public:
  /// The plan of these, compiled if there is none yet. Errors: those of compile(), which are not kept.
  std::shared_ptr<const Plan> get(const std::shared_ptr<const graph::Graph>& graph,
                                  const graph::DimValues& bucket, backend::StepClass step,
                                  std::span<const Device> devices, const CompileOptions& options = {},
                                  std::span<const PassedOver> missing = {});
  PlanCacheStatistics statistics() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Plan>, std::less<>> plans_;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

/// The options that change a plan, as text; equal for equal options.
std::string to_text(const CompileOptions& options);

}  // namespace ingot::exec
