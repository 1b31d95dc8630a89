// GraphRouter: routes a graph: its candidates, the user's wishes and full devices become a RouteProblem, the
// way found becomes devices and reasons.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "exec/plan.h"
#include "exec/route_candidates.h"

namespace ingot::exec {

struct RoutedLaunch {
  graph::Value node;
  int device = 0;
  double us = 0;            // 0: not calibrated
  bool is_unfused = false;  // the device has no kernel for it and runs its definition
  std::string reason;
};

class GraphRouter {
 public:
  /// Keeps references to all of these. `plan` has the graph, step, bucket and memories. Errors: unsupported
  /// where a launch, or the launches of one state, find no device that has all kernels.
  GraphRouter(const Plan& plan, std::span<const Device> devices, const CompileOptions& options,
              std::vector<LaunchCandidates> candidates);

  std::vector<RoutedLaunch> route();

  /// A device is full: takes from it the trailing layers that free `excess_bytes` of weights and states
  /// (where there are no layers, the last launches), never what no other device can run. `routed` is what
  /// route() gave. False if nothing is left to take.
  bool take_trailing(int device, size_t excess_bytes, std::span<const RoutedLaunch> routed,
                     const std::string& reason);

  /// Sentences on wishes that could not be granted, and devices that lack kernels.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Unit;
  void find_groups();
  void find_values();
  void check_possible() const;
  void apply_wishes(RouteProblem& problem);
  std::string reason_for(size_t launch, int device, const RouteProblem& problem) const;
  bool can_leave(size_t launch, int device) const;
  void ban(size_t launch, int device, const std::string& reason);
  std::vector<Unit> units_of(int device, std::span<const RoutedLaunch> routed) const;
  graph::Value state_of(graph::Value value) const;
  std::string where(size_t launch) const;

  const Plan& plan_;
  const graph::Graph& graph_;
  std::span<const Device> devices_;
  const CompileOptions& options_;
  std::vector<LaunchCandidates> candidates_;
  RouteProblem problem_;                   // without wishes; us of full devices impossible
  std::vector<graph::Value> group_state_;  // by group: a state of it, for reasons
  std::vector<std::vector<size_t>> group_launches_;
  std::vector<std::vector<std::string>> banned_;  // by launch and device: why not there; empty: not banned
  std::vector<std::string> wish_reasons_;         // by launch; empty: routed by cost
  std::vector<std::string> notes_;
};

/// "5.1 GB"
std::string bytes_text(double bytes);

}  // namespace ingot::exec
