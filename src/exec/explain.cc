#include "exec/explain.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/check.h"
#include "exec/cost_model.h"
#include "exec/multiply_limit.h"
#include "exec/route_candidates.h"
#include "graph/print.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}

int64_t count_ops(const Graph& graph) {
  return std::ranges::count_if(graph.nodes(), [](const Node& node) { return node.kind == NodeKind::op; });
}

/// The sizes with a cache of no more pages than the step reads: the others keep no bytes from the caches.
graph::DimValues with_used_pages(graph::DimValues dims) {
  int64_t& pages = dims[graph::Symbol::cache_pages];
  pages = std::min(pages, dims[graph::Symbol::sequences] * dims[graph::Symbol::pages]);
  return dims;
}

/// The rows of a plan: its launches, and before each the transfers that wait for nothing later.
class Rows {
 public:
  Rows(const Plan& plan, const graph::DimValues& dims, std::span<const Device> devices)
      : plan_(plan),
        dims_(dims),
        devices_(devices),
        working_set_(working_set_bytes(*plan.graph, with_used_pages(dims))),
        row_of_(plan.graph->nodes().size(), -1) {
    size_t transfer = 0;
    for (size_t i = 0; i <= plan.launches.size(); ++i) {
      for (; transfer < plan.transfers.size() && plan.transfers[transfer].before_launch == i; ++transfer)
        add_transfer(plan.transfers[transfer]);
      if (i < plan.launches.size()) add_launch(plan.launches[i]);
    }
  }
  std::vector<ExplainRow> take() { return std::move(rows_); }
  /// The row that computes a value, through views and further results; -1 for inputs, weights and states.
  int64_t producer(Value value) const { return row_of_[index(origin(value))]; }

 private:
  /// The op, input, weight or state that a value comes from.
  Value origin(Value value) const {
    value = viewed(*plan_.graph, value);
    const Node& node = plan_.graph->node(value);
    return node.kind == NodeKind::result ? node.inputs[0] : value;
  }

  static DeviceCosts host_costs() {
    DeviceCosts host;
    host.device = "host";
    return host;
  }
  const DeviceCosts* costs_of_memory(int memory, const DeviceCosts& host) const {
    const auto device = static_cast<size_t>(memory);
    return device < devices_.size() ? devices_[device].costs : &host;
  }

  std::string device_of_memory(int memory) const {
    const auto device = static_cast<size_t>(memory);
    return device < plan_.devices.size() ? plan_.devices[device] : "host";
  }

  void add_input(ExplainRow& row, Value value, int memory) const {
    int64_t producer = this->producer(value);
    const auto copied = copies_.find({viewed(*plan_.graph, value).id, memory});
    if (copied != copies_.end()) producer = copied->second;
    if (producer < 0) {
      row.reads.push_back(plan_.graph->node(origin(value)).name);
    } else if (std::ranges::find(row.inputs, producer) == row.inputs.end()) {
      row.inputs.push_back(producer);
    }
  }

  void add_launch(const PlannedLaunch& launch) {
    const Graph& graph = *plan_.graph;
    const Node& node = graph.node(launch.node);
    const graph::Tensor output = shape_of(graph, launch.node, dims_);
    ExplainRow row;
    row.op = node.op->name();
    row.attributes = node.op->attributes();
    row.label = node.name;
    row.type = to_string(node.type);
    row.shape = std::string(to_string(output.dtype)) + to_string(output.shape);
    row.device = plan_.devices[static_cast<size_t>(launch.device)];
    row.kernel = launch.kernel->name;
    row.reason = launch.reason;
    row.layer = node.layer;
    std::vector<graph::Tensor> inputs;
    for (Value input : node.inputs) {
      inputs.push_back(shape_of(graph, input, dims_));
      add_input(row, input, plan_.memory_of[static_cast<size_t>(launch.device)]);
    }
    const Work work = work_of(*node.op, inputs, output);
    row.flops = work.flops;
    row.bytes = work.bytes;
    if (row.op.starts_with("linear")) row.weight = weight_type(*node.op, inputs);
    // The plan predicted its bucket; this is a step of other sizes.
    if (const DeviceCosts* costs = devices_[static_cast<size_t>(launch.device)].costs)
      row.predicted_us = predict_us(*costs, *launch.kernel, *node.op, inputs, output, working_set_);
    row_of_[index(launch.node)] = static_cast<int64_t>(rows_.size());
    rows_.push_back(std::move(row));
  }

  void add_transfer(const Transfer& transfer) {
    const Node& node = plan_.graph->node(transfer.value);
    const graph::Tensor value = shape_of(*plan_.graph, transfer.value, dims_);
    ExplainRow row;
    row.is_transfer = true;
    row.op = "transfer";
    row.label = node.name;
    row.type = to_string(node.type);
    row.shape = std::string(to_string(value.dtype)) + to_string(value.shape);
    row.device = device_of_memory(transfer.to);
    row.kernel = "copy";
    row.reason = "from " + device_of_memory(transfer.from);
    row.layer = graph::kNoLayer;  // between layers: those around it stay alike
    row.bytes = static_cast<double>(value.bytes());
    const DeviceCosts host = host_costs();
    const DeviceCosts* from = costs_of_memory(transfer.from, host);
    const DeviceCosts* to = costs_of_memory(transfer.to, host);
    if (from != nullptr && to != nullptr) row.predicted_us = transfer_us(*from, *to, row.bytes);
    add_input(row, transfer.value, transfer.from);
    copies_[{transfer.value.id, transfer.to}] = static_cast<int64_t>(rows_.size());
    rows_.push_back(std::move(row));
  }

  const Plan& plan_;
  const graph::DimValues& dims_;
  std::span<const Device> devices_;
  double working_set_;
  std::vector<int64_t> row_of_;                        // by node
  std::map<std::pair<int32_t, int>, int64_t> copies_;  // by value and memory
  std::vector<ExplainRow> rows_;
};

/// Layers whose rows are alike but for their labels are represented by the first of them.
void fold_layers(std::vector<ExplainRow>& rows) {
  std::map<int64_t, std::vector<size_t>> layers;
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].representative = static_cast<int64_t>(i);
    if (rows[i].layer >= 0) layers[rows[i].layer].push_back(i);
  }
  using Signature = std::vector<std::tuple<std::string, std::string, std::string, std::string, std::string>>;
  std::map<Signature, std::vector<size_t>> first;
  for (const auto& [layer, members] : layers) {
    Signature signature;
    for (size_t i : members) {
      const ExplainRow& row = rows[i];
      signature.emplace_back(row.op, row.attributes, row.shape, row.device, row.kernel + "\n" + row.reason);
    }
    const auto& model = first.try_emplace(signature, members).first->second;
    for (size_t k = 0; k < members.size(); ++k)
      rows[members[k]].representative = static_cast<int64_t>(model[k]);
  }
}

void add(std::optional<double>& sum, const std::optional<double>& part) {
  if (part) sum = sum.value_or(0) + *part;
}

std::vector<ExplainTotal> totals_of(const std::vector<ExplainRow>& rows) {
  std::vector<ExplainTotal> totals;
  for (const ExplainRow& row : rows) {
    auto total = std::ranges::find(totals, row.op, &ExplainTotal::op);
    if (total == totals.end()) {
      totals.push_back({.op = row.op, .predicted_us = {}, .measured_us = {}});
      total = totals.end() - 1;
    }
    ++total->launches;
    total->flops += row.flops;
    total->bytes += row.bytes;
    add(total->predicted_us, row.predicted_us);
    add(total->measured_us, row.measured_us);
  }
  const auto weight = [](const ExplainTotal& total) {
    return std::tuple(total.measured_us.value_or(0), total.predicted_us.value_or(0), total.bytes);
  };
  std::ranges::stable_sort(totals, std::greater(), weight);
  return totals;
}

/// The larger share of the two limits.
void set_share(ExplainRow& row, const ExplainDevice& device) {
  if (!row.measured_us || *row.measured_us <= 0) return;
  const double nanoseconds = *row.measured_us * 1e3;
  const double memory = device.read_gbps > 0 ? row.bytes / nanoseconds / device.read_gbps : 0;
  const double peak = multiply_limit({.read_gbps = device.read_gbps,
                                      .f32_gflops = device.f32_gflops,
                                      .int8_gops = device.int8_gops,
                                      .matrix16_gflops = device.matrix16_gflops},
                                     row.weight)
                          .gflops;
  const double compute = peak > 0 ? row.flops / nanoseconds / peak : 0;
  if (memory <= 0 && compute <= 0) return;
  row.share = std::max(memory, compute);
  row.limit = compute > memory ? ExplainLimit::compute : ExplainLimit::memory;
}

void set_prediction_error(ExplainStep& step) {
  struct Times {
    double measured_us = 0;
    double predicted_us = 0;
  };
  std::vector<Times> rows;
  double measured = 0;
  for (const ExplainRow& row : step.rows) {
    const double measured_us = row.measured_us.value_or(0);
    if (!row.predicted_us || measured_us <= 0) continue;
    rows.push_back({.measured_us = measured_us, .predicted_us = *row.predicted_us});
    measured += measured_us;
  }
  std::ranges::stable_sort(rows, std::greater(), &Times::measured_us);
  std::vector<double> errors;
  double covered = 0;
  for (const Times& row : rows) {
    if (covered >= 0.9 * measured) break;
    covered += row.measured_us;
    errors.push_back(std::abs(row.predicted_us - row.measured_us) / row.measured_us);
  }
  if (errors.empty()) return;
  std::ranges::sort(errors);
  step.prediction_error = errors[errors.size() / 2];
  step.prediction_error_rows = static_cast<int64_t>(errors.size());
}

}  // namespace

ExplainStep explain(const Plan& plan, const graph::DimValues& dims, std::span<const Device> devices) {
  ExplainStep step;
  step.step = to_string(plan.step);
  step.tokens = dims[graph::Symbol::tokens];
  step.sequences = dims[graph::Symbol::sequences];
  step.graph_before = to_text(*plan.source);
  step.graph_after = to_text(*plan.graph);
  step.ops_before = count_ops(*plan.source);
  step.ops_after = count_ops(*plan.graph);
  step.launches_before = std::ranges::count_if(plan.source->nodes(), is_launched);
  step.launches = static_cast<int64_t>(plan.launches.size());
  for (const fuse::PassReport& pass : plan.passes) {
    step.passes.push_back({.name = std::string(pass.name),
                           .ran = pass.ran,
                           .rewrites = pass.rewrites,
                           .nodes_before = static_cast<int64_t>(pass.nodes_before),
                           .nodes_after = static_cast<int64_t>(pass.nodes_after),
                           .microseconds = pass.microseconds});
  }

  Rows rows(plan, dims, devices);
  for (const graph::Output& output : plan.graph->outputs())
    step.outputs.push_back({.name = output.name, .row = rows.producer(output.value)});
  step.rows = rows.take();
  fold_layers(step.rows);
  for (const ExplainRow& row : step.rows) add(step.predicted_us, row.predicted_us);
  step.totals = totals_of(step.rows);
  step.notes = plan.notes;
  for (const Device& device : devices) {
    for (const backend::TunedForm& form : device.backend->forms()) {
      if (form.form != form.rule)
        step.notes.push_back(fmt::format("{}: {} runs as '{}', which ingot tune found faster than '{}'",
                                         device.name, form.shape, form.form, form.rule));
    }
    if (device.calibration_hash.empty()) continue;
    step.calibration += (step.calibration.empty() ? "" : "+") + device.calibration_hash;
  }
  for (size_t i = 0; i < plan.bytes.size(); ++i) {
    const DeviceBytes& bytes = plan.bytes[i];
    step.memory.push_back({.device = i < plan.devices.size() ? plan.devices[i] : "host",
                           .arena = static_cast<int64_t>(bytes.arena),
                           .live = static_cast<int64_t>(bytes.live),
                           .workspace = static_cast<int64_t>(bytes.workspace),
                           .weights = static_cast<int64_t>(bytes.weights),
                           .states = static_cast<int64_t>(bytes.states)});
  }
  return step;
}

void add_times(ExplainStep& step, std::span<const double> launch_us, std::span<const double> transfer_us,
               std::span<const ExplainDevice> devices) {
  const auto transfers = static_cast<size_t>(std::ranges::count_if(step.rows, &ExplainRow::is_transfer));
  INGOT_CHECK(launch_us.size() + transfers == step.rows.size() && transfer_us.size() == transfers,
              "{} and {} times of {} rows", launch_us.size(), transfer_us.size(), step.rows.size());
  size_t launch = 0;
  size_t transfer = 0;
  for (ExplainRow& row : step.rows) {
    row.measured_us = row.is_transfer ? transfer_us[transfer++] : launch_us[launch++];
    add(step.measured_us, row.measured_us);
    const auto device = std::ranges::find(devices, row.device, &ExplainDevice::name);
    if (device != devices.end() && !row.is_transfer) set_share(row, *device);
  }
  set_prediction_error(step);
  step.totals = totals_of(step.rows);
}

}  // namespace ingot::exec
