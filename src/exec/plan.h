// Plan: a graph compiled for its devices, step class and bucket. Immutable; shared by runners.
//
// compile() fuses the graph, gives every op a device and a kernel, lays the intermediate values of each device
// out in one arena and knows the workspace each launch needs. Arenas are planned for the bucket's maxima; a
// step runs at its own sizes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "graph/graph.h"

namespace ingot::exec {

/// Where a value's bytes are.
struct Place {
  enum class Kind : uint8_t {
    weight,  // the checkpoint's own bytes
    input,   // the runner's buffer for step inputs
    state,   // storage the runner was given
    arena,   // offset into the arena
  };
  Kind kind = Kind::arena;
  size_t offset = 0;  // arena: bytes
  graph::Value root;  // the value whose storage this is: itself, unless it is a view or runs in place
};

struct PlannedLaunch {
  graph::Value node;
  const backend::Kernel* kernel = nullptr;
  size_t workspace_bytes = 0;
  std::string reason;  // why this kernel
};

struct Plan {
  std::shared_ptr<const graph::Graph> graph;
  backend::StepClass step = backend::StepClass::decode;
  graph::DimValues bucket;    // the maxima it was compiled for
  std::vector<Place> places;  // by node
  std::vector<PlannedLaunch> launches;
  size_t arena_bytes = 0;      // intermediate values
  size_t workspace_bytes = 0;  // the largest launch's; shared by all
  size_t live_bytes = 0;       // most bytes alive at once: no arena can be smaller
};

/// Plans `graph`, which must verify. Errors: unsupported where the backend has no kernel for an op (named).
std::shared_ptr<const Plan> compile(std::shared_ptr<const graph::Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, const backend::Backend& backend);

/// The bound tensor of a value without an address, for cost and workspace rules.
graph::Tensor shape_of(const graph::Graph& graph, graph::Value value, const graph::DimValues& dims);

}  // namespace ingot::exec
