#include "exec/explain.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/check.h"
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

bool is_view(const Node& node) {
  return node.op->alias_of() && !node.op->writes_alias();
}

int64_t count_ops(const Graph& graph) {
  return std::ranges::count_if(graph.nodes(), [](const Node& node) { return node.kind == NodeKind::op; });
}

int64_t count_launches(const Graph& graph) {
  return std::ranges::count_if(graph.nodes(),
                               [](const Node& node) { return node.kind == NodeKind::op && !is_view(node); });
}

/// Which launch computes a value: through views and further results.
class Producers {
 public:
  explicit Producers(const Plan& plan) : graph_(*plan.graph), row_of_(graph_.nodes().size(), -1) {
    for (size_t i = 0; i < plan.launches.size(); ++i)
      row_of_[index(plan.launches[i].node)] = static_cast<int64_t>(i);
  }
  /// -1 for inputs, weights and states; `leaf` is then the one.
  int64_t row(Value value, Value& leaf) const {
    while (true) {
      const Node& node = graph_.node(value);
      const int64_t row = row_of_[index(value)];
      leaf = value;
      if (row >= 0 || node.inputs.empty()) return row;
      value = node.kind == NodeKind::result ? node.inputs[0] : node.inputs[index_of_view(node)];
    }
  }

 private:
  static size_t index_of_view(const Node& node) {
    return static_cast<size_t>(node.op->alias_of().value_or(0));
  }

  const Graph& graph_;
  std::vector<int64_t> row_of_;
};

ExplainRow make_row(const Plan& plan, const PlannedLaunch& launch, const Producers& producers,
                    const ExplainSizes& sizes) {
  const Graph& graph = *plan.graph;
  const Node& node = graph.node(launch.node);
  ExplainRow row;
  row.op = node.op->name();
  row.attributes = node.op->attributes();
  row.label = node.name;
  row.type = to_string(node.type);
  const graph::Tensor output = shape_of(graph, launch.node, sizes.dims);
  row.shape = std::string(to_string(output.dtype)) + to_string(output.shape);
  row.device = "cpu";
  row.kernel = launch.kernel->name;
  row.reason = launch.reason;
  row.layer = node.layer;
  std::vector<graph::Tensor> inputs;
  for (Value input : node.inputs) {
    inputs.push_back(shape_of(graph, input, sizes.cost_dims));
    Value leaf;
    const int64_t producer = producers.row(input, leaf);
    if (producer >= 0) {
      if (std::ranges::find(row.inputs, producer) == row.inputs.end()) row.inputs.push_back(producer);
    } else {
      row.reads.push_back(graph.node(leaf).name);
    }
  }
  const graph::Cost cost = node.op->cost(inputs, shape_of(graph, launch.node, sizes.cost_dims));
  row.flops = cost.flops;
  row.bytes = cost.bytes_read + cost.bytes_written;
  return row;
}

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
  const double compute = device.f32_gflops > 0 ? row.flops / nanoseconds / device.f32_gflops : 0;
  if (memory <= 0 && compute <= 0) return;
  row.share = std::max(memory, compute);
  row.limit = compute > memory ? ExplainLimit::compute : ExplainLimit::memory;
}

void set_prediction_error(ExplainStep& step) {
  std::vector<const ExplainRow*> rows;
  double measured = 0;
  for (const ExplainRow& row : step.rows) {
    if (!row.measured_us || !row.predicted_us || *row.measured_us <= 0) continue;
    rows.push_back(&row);
    measured += *row.measured_us;
  }
  std::ranges::stable_sort(rows, std::greater(), [](const ExplainRow* row) { return *row->measured_us; });
  std::vector<double> errors;
  double covered = 0;
  for (const ExplainRow* row : rows) {
    if (covered >= 0.9 * measured) break;
    covered += *row->measured_us;
    errors.push_back(std::abs(*row->predicted_us - *row->measured_us) / *row->measured_us);
  }
  if (errors.empty()) return;
  std::ranges::sort(errors);
  step.prediction_error = errors[errors.size() / 2];
  step.prediction_error_rows = static_cast<int64_t>(errors.size());
}

}  // namespace

ExplainStep explain(const Plan& plan, const ExplainSizes& sizes) {
  ExplainStep step;
  step.step = to_string(plan.step);
  step.tokens = sizes.dims[graph::Symbol::tokens];
  step.sequences = sizes.dims[graph::Symbol::sequences];
  const Graph& before = *plan.graph;
  step.graph_before = to_text(before);
  step.graph_after = to_text(*plan.graph);
  step.ops_before = count_ops(before);
  step.ops_after = count_ops(*plan.graph);
  step.launches_before = count_launches(before);

  const Producers producers(plan);
  for (const PlannedLaunch& launch : plan.launches)
    step.rows.push_back(make_row(plan, launch, producers, sizes));
  fold_layers(step.rows);
  for (const graph::Output& output : plan.graph->outputs()) {
    Value leaf;
    step.outputs.push_back({.name = output.name, .row = producers.row(output.value, leaf)});
  }
  for (const ExplainRow& row : step.rows) add(step.predicted_us, row.predicted_us);
  step.arena_bytes = static_cast<int64_t>(plan.arena_bytes);
  step.live_bytes = static_cast<int64_t>(plan.live_bytes);
  step.workspace_bytes = static_cast<int64_t>(plan.workspace_bytes);
  step.totals = totals_of(step.rows);
  return step;
}

void add_times(ExplainStep& step, std::span<const double> launch_us, std::span<const ExplainDevice> devices) {
  INGOT_CHECK(launch_us.empty() || launch_us.size() == step.rows.size(), "{} times of {} launches",
              launch_us.size(), step.rows.size());
  for (size_t i = 0; i < launch_us.size(); ++i) {
    ExplainRow& row = step.rows[i];
    row.measured_us = launch_us[i];
    add(step.measured_us, row.measured_us);
    const auto device = std::ranges::find(devices, row.device, &ExplainDevice::name);
    if (device != devices.end()) set_share(row, *device);
  }
  set_prediction_error(step);
  step.totals = totals_of(step.rows);
}

}  // namespace ingot::exec
