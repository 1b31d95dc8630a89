#include "exec/runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "backend/slice_ids.h"
#include "base/check.h"
#include "exec/runner_bound.h"

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Tensor;
using graph::Value;

namespace {

using Clock = std::chrono::steady_clock;
double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

}  // namespace

Runner::Runner(std::span<const Device> devices, std::vector<std::shared_ptr<const Plan>> plans,
               std::map<std::string, Array, std::less<>> states, const RunnerOptions& options)
    : options_(options), states_(std::move(states)) {
  for (const Device& device : devices) {
    devices_.push_back({.name = device.name,
                        .backend = device.backend,
                        .memory = plans.empty() ? 0 : plans[0]->memory_of[devices_.size()],
                        .workspace = {},
                        .states = {}});
    // A device with memory of its own says what host memory it copies from best; to the others all is equal.
    const bool is_apart = !device.backend->limits().shares_host_memory;
    if (is_apart && frames_ == 1) {
      frames_ = kFrames;
      host_allocator_ = device.backend;
    }
  }
  if (host_allocator_ == nullptr && !devices_.empty()) host_allocator_ = devices_.front().backend;
  if (!plans.empty()) host_ = plans[0]->host;
  for (const auto& plan : plans) check_devices(*plan);
  make_inputs(plans);
  make_arenas(plans);
  for (int frame = 0; frame < frames_; ++frame) {
    for (const auto& plan : plans) bound_[frame].push_back(make_bound(plan, frame));
  }
}

Runner::Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
               std::map<std::string, Array, std::less<>> states)
    : Runner(std::vector<Device>{{.backend = &backend, .name = std::string(backend.name())}},
             std::move(plans), std::move(states)) {}

Runner::~Runner() {
  // What was started may still use the memory that goes now.
  for (DeviceState& device : devices_) {
    if (!device.is_busy) continue;
    try {
      device.backend->synchronize();
    } catch (const Error&) {  // nobody is left to hear of it
    }
  }
}

void Runner::check_devices(const Plan& plan) const {
  INGOT_CHECK(plan.devices.size() == devices_.size() && plan.host == host_,
              "a plan for {} devices in a runner of {}", plan.devices.size(), devices_.size());
  for (size_t i = 0; i < devices_.size(); ++i) {
    INGOT_CHECK(plan.devices[i] == devices_[i].name && plan.memory_of[i] == devices_[i].memory,
                "a plan for device '{}' in a runner of '{}'", plan.devices[i], devices_[i].name);
  }
}

PooledBuffer Runner::allocate_in(size_t memory, size_t bytes) {
  bytes_ += bytes;
  const size_t at_least = std::max<size_t>(bytes, 1);
  return static_cast<int>(memory) == host_ ? host_allocator_->allocate_host(at_least)
                                           : devices_[memory].backend->allocate(at_least);
}

std::byte* Runner::arena(int memory, int frame) const {
  const PooledBuffer& buffer = memory == host_ ? frame_[frame].arena : arenas_[static_cast<size_t>(memory)];
  return static_cast<std::byte*>(buffer.data());
}

void Runner::make_inputs(std::span<const std::shared_ptr<const Plan>> plans) {
  std::map<std::string, Tensor, std::less<>> inputs;
  for (const auto& plan : plans) {
    for (size_t i = 0; i < plan->graph->nodes().size(); ++i) {
      const Node& node = plan->graph->nodes()[i];
      if (node.kind != NodeKind::input) continue;
      const Tensor tensor = shape_of(*plan->graph, {static_cast<int32_t>(i)}, plan->bucket);
      const auto [entry, is_new] = inputs.try_emplace(node.name, tensor);
      if (!is_new && tensor.bytes() > entry->second.bytes()) entry->second = tensor;
    }
  }
  for (int frame = 0; frame < frames_; ++frame) {
    for (auto& [name, tensor] : inputs) {
      frame_[frame].buffers.push_back(allocate_in(static_cast<size_t>(host_), tensor.bytes()));
      tensor.data = frame_[frame].buffers.back().data();
      std::memset(tensor.data, 0, tensor.bytes());
    }
    frame_[frame].inputs = inputs;
  }
}

void Runner::make_arenas(std::span<const std::shared_ptr<const Plan>> plans) {
  const size_t memories = plans.empty() ? 0 : plans[0]->bytes.size();
  size_t staging = 0;
  for (size_t memory = 0; memory < memories; ++memory) {
    size_t arena = 0;
    size_t workspace = 0;
    for (const auto& plan : plans) {
      arena = std::max(arena, plan->bytes[memory].arena);
      workspace = std::max(workspace, plan->bytes[memory].workspace);
    }
    const bool is_host = static_cast<int>(memory) == host_;
    arenas_.push_back(is_host ? PooledBuffer() : allocate_in(memory, arena));
    for (int frame = 0; is_host && frame < frames_; ++frame) frame_[frame].arena = allocate_in(memory, arena);
    if (memory < devices_.size()) {
      bytes_ += workspace;
      devices_[memory].workspace = devices_[memory].backend->allocate(std::max<size_t>(workspace, 1));
    }
  }
  for (const auto& plan : plans) {
    for (const Transfer& transfer : plan->transfers) {
      if (transfer.from == host_ || transfer.to == host_) continue;
      staging = std::max(staging, shape_of(*plan->graph, transfer.value, plan->bucket).bytes());
    }
  }
  if (staging > 0) {
    staging_ = host_allocator_->allocate_host(staging);
    bytes_ += staging;
  }
}

void* Runner::state_data(const std::string& name, const Tensor& needed, int memory) {
  const auto state = states_.find(name);
  if (state == states_.end()) fail(ErrorCode::not_found, "runner: state '{}' has no storage", name);
  if (state->second.dtype() != needed.dtype || state->second.shape() != needed.shape) {
    fail(ErrorCode::invalid_argument, "runner: state '{}': expected {}{}, found {}{}", name,
         to_string(needed.dtype), to_string(needed.shape), to_string(state->second.dtype()),
         to_string(state->second.shape()));
  }
  if (memory == host_) return state->second.mutable_raw();
  DeviceState& device = devices_[static_cast<size_t>(memory)];
  const auto [entry, is_new] = device.states.try_emplace(name);
  if (is_new) {
    bytes_ += needed.bytes();
    entry->second = device.backend->allocate(std::max<size_t>(needed.bytes(), 1));
    if (options_.states_are_zero) {
      device.backend->zero(entry->second.data(), needed.bytes());
    } else {
      device.backend->copy(entry->second.data(), state->second.raw(), needed.bytes());
    }
  }
  return entry->second.data();
}

graph::Tensor Runner::input(std::string_view name, int frame) const {
  const auto& inputs = frame_[frame].inputs;
  const auto found = inputs.find(name);
  if (found == inputs.end()) fail(ErrorCode::not_found, "runner: no step input is named '{}'", name);
  return found->second;
}

Runner::Bound& Runner::prepare(size_t plan, const graph::DimValues& dims, int frame) {
  INGOT_CHECK(frame < frames_ && plan < bound_[frame].size(), "plan {}, frame {}", plan, frame);
  Bound& bound = *bound_[frame][plan];
  bind(bound, dims);
  return bound;
}

/// Waits for every device but one that has work which was not waited for; -1: for every one.
void Runner::wait_for_others(int device) {
  for (size_t i = 0; i < devices_.size(); ++i) {
    if (!devices_[i].is_busy || static_cast<int>(i) == device) continue;
    devices_[i].backend->synchronize();
    devices_[i].is_busy = false;
  }
}

/// Copies a value to another memory. Nothing runs meanwhile.
void Runner::move(const Bound& bound, size_t transfer) {
  const Transfer& planned = bound.plan->transfers[transfer];
  const Bound::Copy& copy = bound.copies[transfer];
  const size_t bytes = bound.values[index(planned.value)].bytes();
  if (planned.to == host_) {
    devices_[static_cast<size_t>(planned.from)].backend->copy(copy.to, copy.from, bytes);
  } else if (planned.from == host_) {
    devices_[static_cast<size_t>(planned.to)].backend->copy(copy.to, copy.from, bytes);
  } else {
    devices_[static_cast<size_t>(planned.from)].backend->copy(staging_.data(), copy.from, bytes);
    devices_[static_cast<size_t>(planned.to)].backend->copy(copy.to, staging_.data(), bytes);
  }
  ++statistics_.transfers;
  statistics_.bytes_moved += bytes;
}

/// Where the fed input comes from: the step before, or the host.
void Runner::aim_feed(Bound& bound, bool feed) const {
  Bound::Slice& slice = bound.slices.front();
  const auto in = std::find(slice.in.begin(), slice.in.end(), bound.feed->in) - slice.in.begin();
  slice.copies_in[static_cast<size_t>(in)].from = feed ? feed_.data() : bound.copies[bound.feed->in].from;
}

uint64_t Runner::submit(Bound& bound, size_t index_of_slice, bool feed) {
  Bound::Slice& slice = bound.slices[index_of_slice];
  uint64_t id = 0;
  if (bound.is_recorded) {
    const auto [entry, is_new] = bound.ids.try_emplace(bound.dims.values);
    if (is_new) entry->second = backend::take_slice_ids(2 * bound.slices.size());
    id = entry->second + index_of_slice + (feed ? bound.slices.size() : 0);
  }
  if (bound.feed) aim_feed(bound, feed);
  const size_t out = slice.out.size() + (bound.feed ? 1 : 0);
  DeviceState& device = devices_[static_cast<size_t>(slice.device)];
  device.is_busy = true;
  for (const backend::Copy& copy : slice.copies_in) statistics_.bytes_moved += copy.bytes;
  for (size_t i = 0; i < slice.out.size(); ++i) statistics_.bytes_moved += slice.copies_out[i].bytes;
  statistics_.transfers += slice.in.size() + slice.out.size();
  return device.backend->submit(slice_of(bound, index_of_slice, out, id));
}

backend::Slice Runner::slice_of(const Bound& bound, size_t index_of_slice, size_t copies_out, uint64_t id) {
  const Bound::Slice& slice = bound.slices[index_of_slice];
  const std::span<const backend::Launch> launches(bound.launches);
  return {.copies_in = slice.copies_in,
          .kernels = std::span(bound.kernels).subspan(slice.first_launch, slice.launches),
          .launches = launches.subspan(slice.first_launch, slice.launches),
          .copies_out = std::span<const backend::Copy>(slice.copies_out).first(copies_out),
          .id = id};
}

Runner::Started Runner::start(size_t plan, const graph::DimValues& dims, int frame, bool feed) {
  Bound& bound = prepare(plan, dims, frame);
  INGOT_CHECK(!feed || bound.feed, "plan {} cannot be fed", plan);
  Started started{.plan = plan, .frame = frame, .device = 0, .ticket = 0};
  for (size_t i = 0; i < bound.slices.size(); ++i) {
    const Bound::Slice& slice = bound.slices[i];
    wait_for_others(slice.moves.empty() ? slice.device : -1);
    for (size_t transfer : slice.moves) move(bound, transfer);
    started.device = static_cast<size_t>(slice.device);
    started.ticket = submit(bound, i, feed);
  }
  ++statistics_.steps;
  statistics_.slices += bound.slices.size();
  statistics_.launches += bound.launches.size();
  return started;
}

void Runner::finish(const Started& started) {
  const Bound& bound = *bound_[started.frame][started.plan];
  if (bound.slices.empty()) return;
  if (bound.slices.size() > 1 || !bound.last_moves.empty()) {
    wait_for_others(-1);
  } else {
    devices_[started.device].backend->wait(started.ticket);
  }
  for (size_t transfer : bound.last_moves) move(bound, transfer);
}

bool Runner::can_feed(size_t plan) const {
  return bound_[0][plan]->feed.has_value();
}

void Runner::write_state(std::string_view name, size_t offset, const void* data, size_t bytes) {
  const auto state = states_.find(name);
  if (state == states_.end()) fail(ErrorCode::not_found, "runner: state '{}' has no storage", name);
  std::memcpy(state->second.mutable_raw() + offset, data, bytes);
  for (DeviceState& device : devices_) {
    const auto copy = device.states.find(name);
    if (copy == device.states.end()) continue;
    device.backend->copy(static_cast<std::byte*>(copy->second.data()) + offset, data, bytes);
  }
}

void Runner::profile(size_t plan, const graph::DimValues& dims, std::span<double> launch_us,
                     std::span<double> transfer_us) {
  wait_for_others(-1);
  Bound& bound = prepare(plan, dims, 0);
  if (bound.feed) aim_feed(bound, false);
  INGOT_CHECK(launch_us.size() == bound.launches.size(), "{} times for {} launches", launch_us.size(),
              bound.launches.size());
  INGOT_CHECK(transfer_us.empty() || transfer_us.size() == bound.copies.size(), "{} times for {} transfers",
              transfer_us.size(), bound.copies.size());
  const auto move_all = [&](const std::vector<size_t>& transfers) {
    for (size_t transfer : transfers) {
      const auto start = Clock::now();
      move(bound, transfer);
      if (!transfer_us.empty()) transfer_us[transfer] = microseconds_since(start);
    }
  };
  // What a device brings over by itself goes together: each has an equal part of the time.
  const auto bring_all = [&](backend::Backend& backend, const std::vector<size_t>& transfers,
                             const backend::Slice& slice) {
    if (transfers.empty()) return;
    const auto start = Clock::now();
    backend.wait(backend.submit(slice));
    const double us = microseconds_since(start) / static_cast<double>(transfers.size());
    for (size_t transfer : transfers) {
      if (!transfer_us.empty()) transfer_us[transfer] = us;
    }
  };
  for (const Bound::Slice& slice : bound.slices) {
    move_all(slice.moves);
    backend::Backend& backend = *devices_[static_cast<size_t>(slice.device)].backend;
    const std::span<const backend::Copy> out(slice.copies_out);
    bring_all(backend, slice.in, {.copies_in = slice.copies_in, .kernels = {}, .launches = {}});
    backend.profile(
        {.kernels = std::span(bound.kernels).subspan(slice.first_launch, slice.launches),
         .launches =
             std::span<const backend::Launch>(bound.launches).subspan(slice.first_launch, slice.launches)},
        launch_us.subspan(slice.first_launch, slice.launches));
    bring_all(backend, slice.out, {.kernels = {}, .launches = {}, .copies_out = out.first(slice.out.size())});
  }
  move_all(bound.last_moves);
  ++statistics_.steps;
  statistics_.slices += bound.launches.size();
  statistics_.launches += bound.launches.size();
}

std::vector<Runner::Tuned> Runner::tune(size_t plan, const graph::DimValues& dims) {
  wait_for_others(-1);
  Bound& bound = prepare(plan, dims, 0);
  if (bound.feed) aim_feed(bound, false);
  std::vector<Tuned> tuned;
  for (size_t i = 0; i < bound.slices.size(); ++i) {
    const Bound::Slice& slice = bound.slices[i];
    for (size_t transfer : slice.moves) move(bound, transfer);
    backend::Backend& backend = *devices_[static_cast<size_t>(slice.device)].backend;
    tuned.push_back({&backend, backend.tune(slice_of(bound, i, slice.out.size(), 0))});
  }
  return tuned;
}

graph::Tensor Runner::output(size_t plan, std::string_view name, int frame) const {
  const Bound& bound = *bound_[frame][plan];
  const auto outputs = bound.plan->graph->outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].name == name) return bound.outputs[i];
  }
  fail(ErrorCode::not_found, "runner: the plan has no output named '{}'", name);
}

const Plan& Runner::plan(size_t index) const {
  return *bound_[0][index]->plan;
}

size_t Runner::bytes() const {
  return bytes_;
}

}  // namespace ingot::exec
