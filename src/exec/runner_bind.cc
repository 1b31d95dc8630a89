// How a runner binds its plans: addresses once, slices once, shapes and sizes of copies whenever a step has
// others.
#include <algorithm>

#include "base/check.h"
#include "exec/runner_bound.h"

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Tensor;
using graph::Value;

namespace {

/// Further results of an op; their nodes follow it.
size_t result_count(const graph::Graph& graph, Value op) {
  size_t count = 0;
  const auto nodes = graph.nodes().subspan(index(op) + 1);
  while (count < nodes.size() && nodes[count].kind == NodeKind::result) ++count;
  return count;
}

}  // namespace

std::unique_ptr<Runner::Bound> Runner::make_bound(std::shared_ptr<const Plan> plan, int frame) {
  auto bound = std::make_unique<Bound>();
  bound->frame = frame;
  const graph::Graph& graph = *plan->graph;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Place& place = plan->places[i];
    const Node& root = graph.node(place.root);
    Tensor tensor = shape_of(graph, {static_cast<int32_t>(i)}, plan->bucket);
    switch (place.kind) {
      case Place::Kind::weight:
        tensor.data = const_cast<std::byte*>(root.weight.raw());  // devices: add_operands()
        break;
      case Place::Kind::input:
        tensor.data = frame_[frame].inputs.find(root.name)->second.data;
        break;
      case Place::Kind::state: {
        tensor.data = state_data(root.name, shape_of(graph, place.root, plan->bucket), place.memory);
        break;
      }
      case Place::Kind::arena:
        tensor.data = arena(place.memory, frame) + place.offset;
        break;
    }
    bound->values.push_back(tensor);
  }
  for (const Transfer& transfer : plan->transfers) {
    bound->copies.push_back({.to = arena(transfer.to, frame) + transfer.offset,
                             .from = bound->values[index(transfer.value)].data});
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

  make_slices(*bound);
  find_feed(*bound);
  return bound;
}

/// Cuts the launches into slices and says who makes which transfer: the device of a slice brings what it
/// reads from the host, and takes back what the host reads next; the rest the host moves while nothing runs.
void Runner::make_slices(Bound& bound) const {
  const auto& transfers = bound.plan->transfers;
  size_t transfer = 0;
  const auto memory_of = [&](const Bound::Slice& slice) {
    return devices_[static_cast<size_t>(slice.device)].memory;
  };
  for (size_t i = 0; i < bound.launches.size(); ++i) {
    const int device = bound.plan->launches[i].device;
    if (i == 0 || device != bound.slices.back().device) {
      Bound::Slice slice;
      slice.device = device;
      slice.first_launch = i;
      for (; transfer < transfers.size() && transfers[transfer].before_launch == i; ++transfer) {
        const Transfer& t = transfers[transfer];
        if (t.from == host_ && t.to == memory_of(slice)) {
          slice.in.push_back(transfer);
        } else if (t.to == host_ && !bound.slices.empty() && memory_of(bound.slices.back()) == t.from) {
          bound.slices.back().out.push_back(transfer);
        } else {
          slice.moves.push_back(transfer);
        }
      }
      bound.slices.push_back(std::move(slice));
    }
    ++bound.slices.back().launches;
    // Steps of prompts seldom have the size of another.
    bound.is_recorded |= bound.plan->step == backend::StepClass::decode &&
                         devices_[static_cast<size_t>(device)].backend->limits().records_slices;
  }
  for (; transfer < transfers.size(); ++transfer) {
    const bool is_last = !bound.slices.empty() && transfers[transfer].to == host_ &&
                         memory_of(bound.slices.back()) == transfers[transfer].from;
    (is_last ? bound.slices.back().out : bound.last_moves).push_back(transfer);
  }
  for (Bound::Slice& slice : bound.slices) {
    slice.copies_in.resize(slice.in.size());
    slice.copies_out.resize(slice.out.size() + 1);  // room for what is fed
  }
}

/// Finds out whether the plan's one slice reads the feed's input and gives its output.
void Runner::find_feed(Bound& bound) {
  if (options_.feed_output.empty() || bound.slices.size() != 1) return;
  const graph::Graph& graph = *bound.plan->graph;
  const Bound::Slice& slice = bound.slices.front();
  std::optional<size_t> in;
  std::optional<size_t> out;
  for (size_t t : slice.in) {
    const Node& node = graph.node(bound.plan->transfers[t].value);
    if (node.kind == NodeKind::input && node.name == options_.feed_input) in = t;
  }
  for (const graph::Output& output : graph.outputs()) {
    if (output.name != options_.feed_output) continue;
    for (size_t t : slice.out) {
      if (bound.plan->transfers[t].value == viewed(graph, output.value)) out = t;
    }
  }
  if (!in || !out) return;
  bound.feed = {.in = *in, .out = *out};
  const size_t bytes = bound.values[index(bound.plan->transfers[*out].value)].bytes();
  if (feed_.bytes() >= bytes) return;
  // Plans whose feed was found before refer to the buffer by this member.
  feed_ = devices_[static_cast<size_t>(slice.device)].backend->allocate(bytes);
  bytes_ += bytes;
}

/// Appends a launch with the addresses that its device reads and writes.
void Runner::add_operands(Bound& bound, const PlannedLaunch& planned) {
  const graph::Graph& graph = *bound.plan->graph;
  const Node& node = graph.node(planned.node);
  const DeviceState& device = devices_[static_cast<size_t>(planned.device)];
  const Tensor* first = bound.operands.data() + bound.operands.size();
  for (Value input : node.inputs) {
    Tensor tensor = bound.values[index(input)];
    const Place& place = bound.plan->places[index(input)];
    if (place.kind == Place::Kind::weight) {
      const Node& root = graph.node(place.root);
      auto weight = device.backend->import_host(root.weight.raw(), root.weight.bytes());
      tensor.data = const_cast<void*>(weight.get());
      if (weight.use_count() > 0) weights_.push_back(std::move(weight));  // none: the host's own bytes
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
       .workspace = {static_cast<std::byte*>(device.workspace.data()), planned.workspace_bytes},
       .is_for_next = planned.is_for_next});
  bound.kernels.push_back(planned.kernel);
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
  const auto copy_of = [&](size_t transfer) -> backend::Copy {
    const Bound::Copy& copy = bound.copies[transfer];
    return {copy.to, copy.from, bound.values[index(bound.plan->transfers[transfer].value)].bytes()};
  };
  for (Bound::Slice& slice : bound.slices) {
    for (size_t i = 0; i < slice.in.size(); ++i) slice.copies_in[i] = copy_of(slice.in[i]);
    for (size_t i = 0; i < slice.out.size(); ++i) slice.copies_out[i] = copy_of(slice.out[i]);
    if (bound.feed) {
      const backend::Copy out = copy_of(bound.feed->out);
      slice.copies_out.back() = {feed_.data(), out.from, out.bytes};
    }
  }
  bound.dims = dims;
  bound.is_bound = true;
}

}  // namespace ingot::exec
