// Runner: runs plans, one step at a time, without allocating.
//
// Owns an arena per device and the buffers of step inputs, shared by all its plans; keeps the plans, the
// states' memory and the devices' copies of weights alive. Used by one thread at a time.
//
// Where a device works beside the host, there are two frames: step inputs and host copies of outputs, each
// twice, so that the host can write the inputs of a step while the one before runs.
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

struct RunnerOptions {
  /// All bytes of the states are zero: a device need not have them brought over.
  bool states_are_zero = false;
  /// An output that may become an input of the same type in the next step, on the device.
  std::string feed_output = {};
  std::string feed_input = {};
};

class Runner {
 public:
  static constexpr int kFrames = 2;

  /// The devices the plans were compiled for, in their order. `states` has the storage of every state the
  /// plans use, by name, large enough for their buckets; a state of a device that does not share the host's
  /// memory is copied there now and stays there. Errors: not_found for a state that is missing,
  /// invalid_argument for one of another type or shape, out_of_memory.
  Runner(std::span<const Device> devices, std::vector<std::shared_ptr<const Plan>> plans,
         std::map<std::string, Array, std::less<>> states, const RunnerOptions& options = {});
  Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
         std::map<std::string, Array, std::less<>> states);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// The buffer of a step input, in host memory, at its largest size; write it before run(). Errors:
  /// not_found.
  graph::Tensor input(std::string_view name, int frame = 0) const;

  /// Runs a plan at these sizes, each at most the bucket's. The outputs are ready when it returns.
  void run(size_t plan, const graph::DimValues& dims) { finish(start(plan, dims, 0, false)); }

  /// What start() began.
  struct Started {
    size_t plan = 0;
    int frame = 0;
    size_t device = 0;  // of the last slice
    uint64_t ticket = 0;
  };
  /// Begins to run a plan; a device that works beside the host may still run when it returns. Until finish(),
  /// the frame's inputs stay as they are. `feed`: input feed_input is what the step before gave for
  /// feed_output, not what the host wrote; needs can_feed(plan).
  Started start(size_t plan, const graph::DimValues& dims, int frame, bool feed);
  /// Waits until the outputs of what was started are ready. Errors: device_failed.
  void finish(const Started& started);
  bool can_feed(size_t plan) const;

  /// Writes bytes of a state where it lives, after all that was started. Errors: not_found.
  void write_state(std::string_view name, size_t offset, const void* data, size_t bytes);

  /// Runs a plan, each launch alone: `launch_us[i]` is what launch i of the plan took; `transfer_us[i]` the
  /// same of its transfers, and may be empty.
  void profile(size_t plan, const graph::DimValues& dims, std::span<double> launch_us,
               std::span<double> transfer_us = {});

  /// What one device found.
  struct Tuned {
    backend::Backend* backend = nullptr;
    std::vector<backend::TunedForm> forms;
  };
  /// Lets each device find the fastest forms of its kernels for a step of these sizes, which ran last: an
  /// entry for each slice.
  std::vector<Tuned> tune(size_t plan, const graph::DimValues& dims);

  /// An output of the plan that ran last, in host memory, at that step's sizes; valid until the next run().
  /// Errors: not_found.
  graph::Tensor output(size_t plan, std::string_view name, int frame = 0) const;

  const Plan& plan(size_t index) const;
  size_t plans() const { return bound_[0].size(); }
  /// Frames that there are: 1 where every device shares the host's memory.
  int frames() const { return frames_; }
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

  /// Step inputs and the host's arena: what the host reads and writes.
  struct Frame {
    std::map<std::string, graph::Tensor, std::less<>> inputs;
    std::vector<PooledBuffer> buffers;
    PooledBuffer arena;
  };

  void check_devices(const Plan& plan) const;
  void make_inputs(std::span<const std::shared_ptr<const Plan>> plans);
  void make_arenas(std::span<const std::shared_ptr<const Plan>> plans);
  PooledBuffer allocate_in(size_t memory, size_t bytes);
  std::byte* arena(int memory, int frame) const;
  void* state_data(const std::string& name, const graph::Tensor& needed, int memory);
  std::unique_ptr<Bound> make_bound(std::shared_ptr<const Plan> plan, int frame);
  void make_slices(Bound& bound) const;
  void find_feed(Bound& bound);
  void aim_feed(Bound& bound, bool feed) const;
  void add_operands(Bound& bound, const PlannedLaunch& planned);
  void bind(Bound& bound, const graph::DimValues& dims) const;
  Bound& prepare(size_t plan, const graph::DimValues& dims, int frame);
  uint64_t submit(Bound& bound, size_t slice, bool feed);
  /// A slice as its device takes it, with so many of its copies out.
  static backend::Slice slice_of(const Bound& bound, size_t slice, size_t copies_out, uint64_t id);
  void move(const Bound& bound, size_t transfer);
  void wait_for_others(int device);

  std::vector<DeviceState> devices_;
  RunnerOptions options_;
  int host_ = 0;  // Plan::host
  int frames_ = 1;
  backend::Backend* host_allocator_ = nullptr;  // whose allocate_host() the host's memory is from
  std::map<std::string, Array, std::less<>> states_;
  std::vector<std::shared_ptr<const void>> weights_;  // the devices' copies
  Frame frame_[kFrames];
  std::vector<PooledBuffer> arenas_;  // by memory, but for the host's
  PooledBuffer staging_;              // for values that go between two devices, neither of them the host's
  PooledBuffer feed_;                 // on the device: feed_output of the latest step
  size_t bytes_ = 0;
  RunnerStatistics statistics_;
  std::vector<std::unique_ptr<Bound>> bound_[kFrames];  // by plan
};

}  // namespace ingot::exec
