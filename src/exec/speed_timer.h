// SpeedTimer: what a SpeedCase takes on a backend, its operands on the device.
//
// Launches that follow each other read weights and caches, and large activations too, from places of their
// own in a store of random numbers larger than any cache, as the layers of a model would. On devices that
// record slices a batch of launches is one recording, repeated. Used by one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "exec/cost_model.h"
#include "exec/speed_case.h"

namespace ingot::exec {

/// What all ops of a case count, as it is or as the ops of its definition.
Work work_of(const SpeedCase& speed_case, bool is_unfused);

struct SpeedTiming {
  Work work;
  double us = 0;     // of all its launches
  double share = 0;  // of the limit: what the device's peaks would take, to what it took
  std::vector<std::string> kernels;
};

class SpeedTimer {
 public:
  /// Takes `store_bytes`, and half as much again, of the backend's memory. `batches_us`: how long the
  /// launches of one measurement take together, about. Errors: out_of_memory.
  SpeedTimer(backend::Backend& backend, size_t store_bytes, double batches_us);

  const backend::Peaks& peaks() const { return peaks_; }

  /// The op as it is, or the ops of its definition. None, with a reason: no kernel, or too large.
  std::optional<SpeedTiming> measure(const SpeedCase& speed_case, bool is_unfused, std::string& why_not);

  /// To bring a case's operands from host memory to the device, and its output back. 0 where the device has
  /// the host's memory.
  struct Transfer {
    double to_device_us = 0;
    double from_device_us = 0;
  };
  Transfer measure_transfer(const SpeedCase& speed_case);

 private:
  struct Chain;
  bool prepare(const SpeedCase& speed_case, const graph::Graph& graph, Chain& chain, std::string& why_not);
  void add_set(const graph::Graph& graph, Chain& chain);
  double submit_us(const Chain& chain, size_t first_set, size_t sets, uint64_t id);
  double typical_us(const graph::Graph& graph, Chain& chain);
  double copies_us(size_t bytes, bool to_device);

  backend::Backend& backend_;
  const double batches_us_;
  backend::Peaks peaks_;
  PooledBuffer store_;    // read: random numbers in [-1, 1), as f32 and as bf16
  PooledBuffer scratch_;  // written
  PooledBuffer workspace_;
  PooledBuffer host_;  // of transfers
};

}  // namespace ingot::exec
