#include "exec/runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/check.h"

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Tensor;
using graph::Value;

namespace {

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}

/// Further results of an op; their nodes follow it.
size_t result_count(const graph::Graph& graph, Value op) {
  size_t count = 0;
  const auto nodes = graph.nodes().subspan(index(op) + 1);
  while (count < nodes.size() && nodes[count].kind == NodeKind::result) ++count;
  return count;
}

using Clock = std::chrono::steady_clock;
double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

}  // namespace

/// A plan with addresses: tensors by node, and launches whose inputs lie side by side.
struct Runner::Bound {
  /// Launches in a row on one device, after the copies they read.
  struct Slice {
    int device = 0;
    size_t first_transfer = 0;
    size_t transfers = 0;
    size_t first_launch = 0;
    size_t launches = 0;
  };
  struct Copy {
    void* to = nullptr;
    void* from = nullptr;
  };

  std::shared_ptr<const Plan> plan;
  std::vector<Tensor> values;      // by node, where it was made
  std::vector<Tensor> operands;    // inputs and results of all launches, one after the other
  std::vector<size_t> operand_of;  // by operand: its node
  std::vector<Tensor> outputs;     // by output of the graph, in host memory
  std::vector<backend::Launch> launches;
  std::vector<const backend::Kernel*> kernels;
  std::vector<Copy> copies;  // by transfer
  std::vector<Slice> slices;
  graph::DimValues dims;  // that the shapes are bound to
  bool is_bound = false;

  /// The copy of a value that another memory made, in this one.
  const Copy& copy_in(Value value, int memory) const {
    const Value base = viewed(*plan->graph, value);
    for (size_t i = 0; i < copies.size(); ++i) {
      if (plan->transfers[i].value == base && plan->transfers[i].to == memory) return copies[i];
    }
    fail(ErrorCode::internal, "runner: value {} was never brought to memory {}", value.id, memory);
  }
};

Runner::Runner(std::span<const Device> devices, std::vector<std::shared_ptr<const Plan>> plans,
               std::map<std::string, Array, std::less<>> states)
    : states_(std::move(states)) {
  for (const Device& device : devices) {
    devices_.push_back({.name = device.name,
                        .backend = device.backend,
                        .memory = plans.empty() ? 0 : plans[0]->memory_of[devices_.size()],
                        .workspace = {},
                        .states = {}});
  }
  if (!plans.empty()) host_ = plans[0]->host;
  for (const auto& plan : plans) check_devices(*plan);
  make_inputs(plans);
  make_arenas(plans);
  for (auto& plan : plans) bound_.push_back(make_bound(std::move(plan)));
}

Runner::Runner(backend::Backend& backend, std::vector<std::shared_ptr<const Plan>> plans,
               std::map<std::string, Array, std::less<>> states)
    : Runner(std::vector<Device>{{.backend = &backend, .name = std::string(backend.name())}},
             std::move(plans), std::move(states)) {}

Runner::~Runner() = default;

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
  return memory < devices_.size() ? devices_[memory].backend->allocate(at_least)
                                  : host_pool_.acquire(at_least);
}

void Runner::make_inputs(std::span<const std::shared_ptr<const Plan>> plans) {
  for (const auto& plan : plans) {
    for (size_t i = 0; i < plan->graph->nodes().size(); ++i) {
      const Node& node = plan->graph->nodes()[i];
      if (node.kind != NodeKind::input) continue;
      const Tensor tensor = shape_of(*plan->graph, {static_cast<int32_t>(i)}, plan->bucket);
      const auto [entry, is_new] = inputs_.try_emplace(node.name, tensor);
      if (!is_new && tensor.bytes() > entry->second.bytes()) entry->second = tensor;
    }
  }
  for (auto& [name, tensor] : inputs_) {
    input_buffers_.push_back(allocate_in(static_cast<size_t>(host_), tensor.bytes()));
    tensor.data = input_buffers_.back().data();
    std::memset(tensor.data, 0, tensor.bytes());
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
    arenas_.push_back(allocate_in(memory, arena));
    if (memory < devices_.size()) devices_[memory].workspace = allocate_in(memory, workspace);
  }
  for (const auto& plan : plans) {
    for (const Transfer& transfer : plan->transfers) {
      if (transfer.from == host_ || transfer.to == host_) continue;
      staging = std::max(staging, shape_of(*plan->graph, transfer.value, plan->bucket).bytes());
    }
  }
  if (staging > 0) {
    staging_ = host_pool_.acquire(staging);
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
    device.backend->copy(entry->second.data(), state->second.raw(), needed.bytes());
  }
  return entry->second.data();
}

std::unique_ptr<Runner::Bound> Runner::make_bound(std::shared_ptr<const Plan> plan) {
  auto bound = std::make_unique<Bound>();
  const graph::Graph& graph = *plan->graph;
  const auto arena = [&](int memory) {
    return static_cast<std::byte*>(arenas_[static_cast<size_t>(memory)].data());
  };
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Place& place = plan->places[i];
    const Node& root = graph.node(place.root);
    Tensor tensor = shape_of(graph, {static_cast<int32_t>(i)}, plan->bucket);
    switch (place.kind) {
      case Place::Kind::weight:
        tensor.data = const_cast<std::byte*>(root.weight.raw());  // devices: add_operands()
        break;
      case Place::Kind::input:
        tensor.data = inputs_.find(root.name)->second.data;
        break;
      case Place::Kind::state: {
        tensor.data = state_data(root.name, shape_of(graph, place.root, plan->bucket), place.memory);
        break;
      }
      case Place::Kind::arena:
        tensor.data = arena(place.memory) + place.offset;
        break;
    }
    bound->values.push_back(tensor);
  }
  for (const Transfer& transfer : plan->transfers) {
    bound->copies.push_back(
        {.to = arena(transfer.to) + transfer.offset, .from = bound->values[index(transfer.value)].data});
  }
  bound->plan = std::move(plan);

  size_t operands = 0;
  for (const PlannedLaunch& planned : bound->plan->launches)
    operands += graph.node(planned.node).inputs.size() + result_count(graph, planned.node);
  bound->operands.reserve(operands);
  for (const PlannedLaunch& planned : bound->plan->launches) add_operands(*bound, planned);
  for (const graph::Output& output : graph.outputs()) {
    bound->outputs.push_back(bound->values[index(output.value)]);
    const Place& place = bound->plan->places[index(output.value)];
    if (place.kind != Place::Kind::weight && place.memory != host_)
      bound->outputs.back().data = bound->copy_in(output.value, host_).to;
  }

  size_t transfer = 0;
  const auto& transfers = bound->plan->transfers;
  for (size_t i = 0; i < bound->launches.size(); ++i) {
    const int device = bound->plan->launches[i].device;
    if (i == 0 || device != bound->slices.back().device) {
      const size_t first = transfer;
      while (transfer < transfers.size() && transfers[transfer].before_launch == i) ++transfer;
      bound->slices.push_back({.device = device,
                               .first_transfer = first,
                               .transfers = transfer - first,
                               .first_launch = i,
                               .launches = 0});
    }
    ++bound->slices.back().launches;
  }
  return bound;
}

/// Appends a launch with the addresses that its device reads and writes.
void Runner::add_operands(Bound& bound, const PlannedLaunch& planned) const {
  const graph::Graph& graph = *bound.plan->graph;
  const Node& node = graph.node(planned.node);
  const DeviceState& device = devices_[static_cast<size_t>(planned.device)];
  const Tensor* first = bound.operands.data() + bound.operands.size();
  for (Value input : node.inputs) {
    Tensor tensor = bound.values[index(input)];
    const Place& place = bound.plan->places[index(input)];
    if (place.kind == Place::Kind::weight) {
      const Node& root = graph.node(place.root);
      tensor.data = const_cast<void*>(device.backend->import_host(root.weight.raw(), root.weight.bytes()));
    } else if (place.memory != device.memory) {
      tensor.data = bound.copy_in(input, device.memory).to;
    }
    bound.operands.push_back(tensor);
    bound.operand_of.push_back(index(input));
  }
  const size_t results = result_count(graph, planned.node);
  for (size_t i = 1; i <= results; ++i) {
    bound.operands.push_back(bound.values[index(planned.node) + i]);
    bound.operand_of.push_back(index(planned.node) + i);
  }
  bound.launches.push_back(
      {.op = node.op.get(),
       .inputs = {first, node.inputs.size()},
       .output = bound.values[index(planned.node)],
       .results = {first + node.inputs.size(), results},
       .workspace = {static_cast<std::byte*>(device.workspace.data()), planned.workspace_bytes}});
  bound.kernels.push_back(planned.kernel);
}

graph::Tensor Runner::input(std::string_view name) const {
  const auto found = inputs_.find(name);
  if (found == inputs_.end()) fail(ErrorCode::not_found, "runner: no step input is named '{}'", name);
  return found->second;
}

/// Gives every tensor its shape for these sizes. Steps of equal sizes follow each other, so most find it
/// done.
void Runner::bind(Bound& bound, const graph::DimValues& dims) const {
  if (bound.is_bound && dims.values == bound.dims.values) return;
  const graph::Graph& graph = *bound.plan->graph;
  for (size_t i = 0; i < bound.dims.values.size(); ++i) {
    INGOT_CHECK(dims.values[i] >= 0 && dims.values[i] <= bound.plan->bucket.values[i],
                "a step of {} {} in a bucket of {}", dims.values[i],
                graph::symbol_letter(static_cast<graph::Symbol>(i)), bound.plan->bucket.values[i]);
  }
  for (size_t i = 0; i < bound.values.size(); ++i) bound.values[i].shape = graph.nodes()[i].type.bind(dims);
  for (size_t i = 0; i < bound.operands.size(); ++i)
    bound.operands[i].shape = bound.values[bound.operand_of[i]].shape;
  for (size_t i = 0; i < bound.launches.size(); ++i)
    bound.launches[i].output.shape = bound.values[index(bound.plan->launches[i].node)].shape;
  for (size_t i = 0; i < bound.outputs.size(); ++i)
    bound.outputs[i].shape = bound.values[index(graph.outputs()[i].value)].shape;
  bound.dims = dims;
  bound.is_bound = true;
}

Runner::Bound& Runner::prepare(size_t plan, const graph::DimValues& dims) {
  INGOT_CHECK(plan < bound_.size(), "plan {} of {}", plan, bound_.size());
  bind(*bound_[plan], dims);
  return *bound_[plan];
}

void Runner::wait_for_others(int device) {
  for (size_t i = 0; i < devices_.size(); ++i) {
    if (!devices_[i].is_busy || static_cast<int>(i) == device) continue;
    devices_[i].backend->synchronize();
    devices_[i].is_busy = false;
  }
}

void Runner::wait_for_all() {
  wait_for_others(-1);
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

void Runner::run(size_t plan, const graph::DimValues& dims) {
  Bound& bound = prepare(plan, dims);
  const std::span<const backend::Kernel* const> kernels(bound.kernels);
  const std::span<const backend::Launch> launches(bound.launches);
  size_t transfer = 0;
  for (const Bound::Slice& slice : bound.slices) {
    wait_for_others(slice.transfers > 0 ? -1 : slice.device);
    for (; transfer < slice.first_transfer + slice.transfers; ++transfer) move(bound, transfer);
    DeviceState& device = devices_[static_cast<size_t>(slice.device)];
    device.is_busy = true;
    device.backend->submit(kernels.subspan(slice.first_launch, slice.launches),
                           launches.subspan(slice.first_launch, slice.launches));
  }
  wait_for_all();
  for (; transfer < bound.copies.size(); ++transfer) move(bound, transfer);
  ++statistics_.steps;
  statistics_.slices += bound.slices.size();
  statistics_.launches += bound.launches.size();
}

void Runner::profile(size_t plan, const graph::DimValues& dims, std::span<double> launch_us,
                     std::span<double> transfer_us) {
  Bound& bound = prepare(plan, dims);
  INGOT_CHECK(launch_us.size() == bound.launches.size(), "{} times for {} launches", launch_us.size(),
              bound.launches.size());
  INGOT_CHECK(transfer_us.empty() || transfer_us.size() == bound.copies.size(), "{} times for {} transfers",
              transfer_us.size(), bound.copies.size());
  const std::span<const backend::Kernel* const> kernels(bound.kernels);
  const std::span<const backend::Launch> launches(bound.launches);
  size_t transfer = 0;
  const auto move_until = [&](size_t end) {
    for (; transfer < end; ++transfer) {
      const auto start = Clock::now();
      move(bound, transfer);
      if (!transfer_us.empty()) transfer_us[transfer] = microseconds_since(start);
    }
  };
  for (const Bound::Slice& slice : bound.slices) {
    move_until(slice.first_transfer + slice.transfers);
    backend::Backend& backend = *devices_[static_cast<size_t>(slice.device)].backend;
    for (size_t i = slice.first_launch; i < slice.first_launch + slice.launches; ++i) {
      const auto start = Clock::now();
      backend.submit(kernels.subspan(i, 1), launches.subspan(i, 1));
      backend.synchronize();
      launch_us[i] = microseconds_since(start);
    }
  }
  move_until(bound.copies.size());
  ++statistics_.steps;
  statistics_.slices += bound.launches.size();
  statistics_.launches += bound.launches.size();
}

graph::Tensor Runner::output(size_t plan, std::string_view name) const {
  const Bound& bound = *bound_[plan];
  const auto outputs = bound.plan->graph->outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].name == name) return bound.outputs[i];
  }
  fail(ErrorCode::not_found, "runner: the plan has no output named '{}'", name);
}

const Plan& Runner::plan(size_t index) const {
  return *bound_[index]->plan;
}

size_t Runner::bytes() const {
  return bytes_;
}

}  // namespace ingot::exec
