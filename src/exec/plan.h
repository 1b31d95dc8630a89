// Plan: a graph compiled for its devices, step class and bucket. Immutable; shared by runners.
//
// compile() fuses the graph, gives every op a device and a kernel, lays the intermediate values of each
// device out in one arena, inserts the transfers between devices and knows the workspace each launch needs.
// Arenas are planned for the bucket's maxima; a step runs at its own sizes.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "exec/device.h"
#include "fuse/fuse.h"
#include "graph/graph.h"
#include "ingot/compile_options.h"

namespace ingot::exec {

/// Where a value's bytes are: in the memory of the device that computes it. Devices of another memory read
/// copies (Transfer).
struct Place {
  enum class Kind : uint8_t {
    weight,  // the checkpoint's own bytes, resident on every device that reads them
    input,   // the runner's buffer for step inputs, in host memory
    state,   // storage the runner was given
    arena,   // offset into the memory's arena
  };
  Kind kind = Kind::arena;
  int memory = 0;     // weights: that of the first reader
  size_t offset = 0;  // arena: bytes
  graph::Value root;  // the value whose storage this is: itself, unless it is a view or runs in place
};

/// A copy of a value for the readers of another memory. Once a step, however many they are.
struct Transfer {
  graph::Value value;  // never a view: views of the copy share its bytes
  int from = 0;        // memories
  int to = 0;
  size_t before_launch = 0;  // index into launches; launches.size(): after the last
  size_t offset = 0;         // in the arena of `to`
  double predicted_us = 0;
};

struct PlannedLaunch {
  graph::Value node;
  int device = 0;
  const backend::Kernel* kernel = nullptr;
  size_t workspace_bytes = 0;
  double predicted_us = 0;   // 0: the device is not calibrated
  std::string reason;        // why this device
  bool is_for_next = false;  // nothing but the launch behind it, on the same device, reads its output
};

/// What a plan takes on one device.
struct DeviceBytes {
  size_t arena = 0;      // intermediate values and copies; 0 where it works in another's memory
  size_t live = 0;       // most bytes of those alive at once: no arena can be smaller
  size_t workspace = 0;  // the largest launch's; shared by all
  size_t weights = 0;    // that its launches read
  size_t states = 0;     // that its launches read or write
  size_t total() const { return arena + workspace + weights + states; }
};

struct Plan {
  std::shared_ptr<const graph::Graph> source;  // as given
  std::shared_ptr<const graph::Graph> graph;   // after fusion and expansion: what the launches refer to
  std::vector<fuse::PassReport> passes;
  backend::StepClass step = backend::StepClass::decode;
  graph::DimValues bucket;           // the maxima it was compiled for
  std::vector<std::string> devices;  // names
  /// The memory each device works in: its own index, or `host` where it shares the host's memory.
  std::vector<int> memory_of;
  /// The memory of inputs and outputs: that of the first device that shares the host's, or devices.size()
  /// where none does: then host memory is a place of its own, which runs nothing.
  int host = 0;
  std::vector<DeviceBytes> bytes;  // by device, and last host memory if it is a place of its own
  std::vector<Place> places;       // by node of `graph`
  std::vector<PlannedLaunch> launches;
  std::vector<Transfer> transfers;  // by before_launch
  std::vector<std::string> notes;   // devices passed over, fallbacks, expansions: a sentence each
  std::string calibration_hash;     // of its devices, joined by "+"; empty: not calibrated
};

/// Plans `graph`, which must verify, for devices in order of preference. `missing` are devices that were
/// asked for and are not there: they are noted. Errors: unsupported where no device has a kernel for an op
/// (named), out_of_memory where the caps leave no room, invalid_argument for options that name what does not
/// exist; with options.strict also unsupported or out_of_memory where a device would be passed over.
std::shared_ptr<const Plan> compile(std::shared_ptr<const graph::Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, std::span<const Device> devices,
                                    const CompileOptions& options = {},
                                    std::span<const PassedOver> missing = {});

/// For one device and without fusion: every op of the graph is a launch.
std::shared_ptr<const Plan> compile(std::shared_ptr<const graph::Graph> graph, const graph::DimValues& bucket,
                                    backend::StepClass step, const backend::Backend& backend);

/// The bound tensor of a value without an address, for cost and workspace rules.
graph::Tensor shape_of(const graph::Graph& graph, graph::Value value, const graph::DimValues& dims);

/// The value whose bytes a view shows; any other value itself (a new version of a state is none).
graph::Value viewed(const graph::Graph& graph, graph::Value value);

/// Whether a node runs: an op that is not a view.
bool is_launched(const graph::Node& node);

}  // namespace ingot::exec
