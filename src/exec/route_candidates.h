// Candidates: what each launch of a graph would cost on each device.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "exec/device.h"
#include "exec/route.h"
#include "graph/graph.h"

namespace ingot::exec {

struct Candidate {
  const backend::Kernel* kernel = nullptr;  // null: none, but the device may run the unfused definition
  double us = kImpossible;
  bool can_run() const { return us != kImpossible; }
};

/// A launched node with a candidate for each device.
struct LaunchCandidates {
  graph::Value node;
  std::vector<Candidate> by_device;
};

/// Whether every device has costs. If not, a launch costs its device's place in the list, and transfers
/// nothing: the first device that can takes all.
bool is_calibrated(std::span<const Device> devices);

/// The launches of `graph` in order. A fused op without a kernel costs what its parts do; one whose parts
/// lack kernels too is impossible there.
std::vector<LaunchCandidates> find_candidates(const graph::Graph& graph, const graph::DimValues& bucket,
                                              backend::StepClass step, std::span<const Device> devices);

/// The bytes that a step reads of the graph's weights and states at most: what predictions take as the
/// working set. Tables that are only looked up do not count.
double working_set_bytes(const graph::Graph& graph, const graph::DimValues& bucket);

}  // namespace ingot::exec
