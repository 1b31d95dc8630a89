// Runner: runs plans, one step at a time, without allocating.
//
// Owns an arena per device and the buffers of step inputs, shared by all its plans; keeps the plans and the
// states' memory alive. Used by one thread at a time.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "exec/plan.h"

namespace ingot::exec {

/// What a runner has done since it was made.
struct RunnerStatistics {
  uint64_t steps = 0;
  uint64_t launches = 0;
  uint64_t slices = 0;     // submits: launches in a row on one device
  uint64_t transfers = 0;  // copies between devices
  uint64_t bytes_moved = 0;
};

class Runner {
 public:
  /// The devices the plans were compiled for, in their order. `states` has the storage of every state the
  /// plans use, by name, large enough for their buckets; a state of a device that does not share the host's
  /// memory is copied there now and stays there. Errors: not_found for a state that is missing,
  /// invalid_argument for one of another type or shape, out_of_memory.
  Runner(std::span<const Device> devices, std::vector<std::shared_ptr<const Plan>> plans,
         std::map<std::string, Array, std::less<>> states);
  Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
         std::map<std::string, Array, std::less<>> states);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// The buffer of a step input, in host memory, at its largest size; write it before run(). Errors:
  /// not_found.
  graph::Tensor input(std::string_view name) const;

  /// Runs a plan at these sizes, each at most the bucket's. The outputs are ready when it returns.
  void run(size_t plan, const graph::DimValues& dims);

  /// The same, but each launch alone: `launch_us[i]` is what launch i of the plan took, submit to end;
  /// `transfer_us[i]` the same of its transfers, and may be empty.
  void profile(size_t plan, const graph::DimValues& dims, std::span<double> launch_us,
               std::span<double> transfer_us = {});

  /// An output of the plan that ran last, in host memory, at that step's sizes; valid until the next run().
  /// Errors: not_found.
  graph::Tensor output(size_t plan, std::string_view name) const;

  const Plan& plan(size_t index) const;
  size_t plans() const { return bound_.size(); }
  /// Bytes of arenas, workspaces and step inputs, of all devices.
  size_t bytes() const;
  RunnerStatistics statistics() const { return statistics_; }

 private:
  struct Bound;
  struct DeviceState {
    std::string name;
    backend::Backend* backend = nullptr;
    int memory = 0;
    PooledBuffer workspace;
    std::map<std::string, PooledBuffer, std::less<>> states;  // where the host's memory is not shared
    bool is_busy = false;                                     // has work that was not waited for
  };

  void check_devices(const Plan& plan) const;
  void make_inputs(std::span<const std::shared_ptr<const Plan>> plans);
  void make_arenas(std::span<const std::shared_ptr<const Plan>> plans);
  PooledBuffer allocate_in(size_t memory, size_t bytes);
  void* state_data(const std::string& name, const graph::Tensor& needed, int memory);
  std::unique_ptr<Bound> make_bound(std::shared_ptr<const Plan> plan);
  void add_operands(Bound& bound, const PlannedLaunch& planned) const;
  void bind(Bound& bound, const graph::DimValues& dims) const;
  Bound& prepare(size_t plan, const graph::DimValues& dims);
  void move(const Bound& bound, size_t transfer);
  void wait_for_others(int device);
  void wait_for_all();

  std::vector<DeviceState> devices_;
  int host_ = 0;          // Plan::host
  BufferPool host_pool_;  // staging, and host memory where no device shares it
  std::map<std::string, Array, std::less<>> states_;
  std::map<std::string, graph::Tensor, std::less<>> inputs_;
  std::vector<PooledBuffer> input_buffers_;
  std::vector<PooledBuffer> arenas_;  // by memory
  PooledBuffer staging_;              // for values that go between two devices, neither of them the host's
  size_t bytes_ = 0;
  RunnerStatistics statistics_;
  std::vector<std::unique_ptr<Bound>> bound_;
};

}  // namespace ingot::exec
