// CompileOptions: how a graph becomes a plan: the devices, the fusions, and what the user decides by hand.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ingot {

/// Layers first … last of a model run on a device.
struct LayerRange {
  int64_t first = 0;
  int64_t last = 0;
  std::string device;
};

struct CompileOptions {
  /// By preference; the last one takes what no other can. A device that is missing is passed over with its
  /// reason recorded. Empty: every device that this machine has and this build knows, GPUs before the CPU.
  std::vector<std::string> devices = {};
  /// Of the CPU; 0: one on each performance core that this process may use. More than can run at once are cut
  /// down to those that can, which LLM::notes() says.
  int threads = 0;
  /// Each thread of the CPU on a core of its own, best cores first, and the thread that loads the model,
  /// which is one of them, until the model is gone. An error where the system cannot.
  bool pin = false;
  /// Fusion passes to leave out, by name; "all" leaves out every one.
  std::vector<std::string> no_fuse = {};
  /// Thresholds by op: an op of that name with at least so many output elements runs on the first device, a
  /// smaller one on the last, whatever the cost model says.
  std::map<std::string, int64_t, std::less<>> route = {};
  std::vector<LayerRange> layers = {};
  /// Most bytes that weights, states and activations may take, by device.
  std::map<std::string, int64_t, std::less<>> memory = {};
  /// A device that is missing, full or lacks a kernel is an error.
  bool strict = false;
};

}  // namespace ingot
