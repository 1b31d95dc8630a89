#include "api/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "api/open.h"
#include "base/check.h"
#include "base/machine_memory.h"
#include "exec/plan.h"
#include "kv/page_layout.h"

namespace ingot::api {
namespace {

using backend::StepClass;
using graph::NodeKind;

/// More pages than a cache can number.
constexpr int64_t kMostCacheTokens = int64_t{1} << 30;

/// Bytes that several plans share, by device: each weight and state once.
class Residents {
 public:
  void add(const exec::Plan& plan) {
    for (const exec::PlannedLaunch& launch : plan.launches) {
      for (const graph::Value input : plan.graph->node(launch.node).inputs) {
        const exec::Place& place = plan.places[static_cast<size_t>(input.id)];
        const graph::Node& root = plan.graph->node(place.root);
        const size_t bytes = exec::shape_of(*plan.graph, place.root, plan.bucket).bytes();
        if (root.kind == NodeKind::weight) weights_[{launch.device, root.weight.raw()}] = bytes;
        if (root.kind == NodeKind::state) states_[{launch.device, root.name}] = bytes;
      }
    }
  }
  void count(std::vector<DeviceMemoryPlan>& devices) const {
    for (const auto& [key, bytes] : weights_)
      devices[static_cast<size_t>(key.first)].weights += static_cast<int64_t>(bytes);
    for (const auto& [key, bytes] : states_) {
      DeviceMemoryPlan& device = devices[static_cast<size_t>(key.first)];
      (key.second == "token_counts" ? device.token_counts : device.kv_cache) += static_cast<int64_t>(bytes);
    }
  }

 private:
  std::map<std::pair<int, const std::byte*>, size_t> weights_;  // tied weights are one
  std::map<std::pair<int, std::string>, size_t> states_;
};

void add_largest(int64_t& most, size_t bytes) {
  most = std::max(most, static_cast<int64_t>(bytes));
}

std::string sequences_text(int64_t count) {
  return fmt::format("{} sequence{}", count, count == 1 ? "" : "s");
}

/// The largest number from `low` to `high` that `holds`, by bisection: what holds of a number holds of all
/// below it. 0 where it does not hold of `low`.
template <class Predicate>
int64_t largest(int64_t low, int64_t high, const Predicate& holds) {
  if (high < low || !holds(low)) return 0;
  if (holds(high)) return high;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (holds(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

int64_t resident_bytes() {
  // Fields in pages: total, resident, shared (resident pages of files).
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  if (!(file >> total >> resident)) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

std::string bytes_text(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

serve::StepperLimits stepper_limits(const Devices& devices, int64_t context, int64_t sequences) {
  return {.sequences = sequences,
          .context = context,
          .prefill_tokens = std::min(devices.prefill_tokens, context),
          .cache_tokens = 0,
          .prefill_rows = 0};
}

MemoryPlanner::MemoryPlanner(const model::Model& model, const Devices& devices, const CompileOptions& options,
                             exec::PlanCache* plans)
    : model_(model), devices_(devices), options_(options), plans_(plans) {}

MemoryPlanner::Need MemoryPlanner::compile(int64_t context, int64_t sequences, const CompileOptions& options,
                                           exec::PlanCache* cache) const {
  const serve::StepperLimits limits = serve::complete(stepper_limits(devices_, context, sequences));
  Need need;
  Residents residents;
  std::map<std::string_view, int64_t> inputs;
  std::vector<std::shared_ptr<const exec::Plan>> plans;
  for (const StepClass step : {StepClass::prefill, StepClass::decode}) {
    const graph::DimValues bucket = serve::step_bucket(limits, step);
    const auto& graph = model_.token_graph();
    plans.push_back(cache != nullptr
                        ? cache->get(graph, bucket, step, devices_.devices, options, devices_.missing)
                        : exec::compile(graph, bucket, step, devices_.devices, options, devices_.missing));
    const exec::Plan& plan = *plans.back();
    need.devices.resize(plan.bytes.size());
    for (size_t d = 0; d < plan.bytes.size(); ++d) {
      add_largest(need.devices[d].activations, plan.bytes[d].arena);
      add_largest(need.devices[d].activations_live, plan.bytes[d].live);
      add_largest(need.devices[d].workspace, plan.bytes[d].workspace);
    }
    residents.add(plan);
    for (const graph::Node& node : plan.graph->nodes()) {
      if (node.kind != NodeKind::input) continue;
      add_largest(inputs[node.name],
                  static_cast<size_t>(dtype_bytes(node.type.dtype, node.type.bind(plan.bucket).elements())));
    }
    for (const std::string& note : plan.notes) {
      if (std::find(need.notes.begin(), need.notes.end(), note) == need.notes.end())
        need.notes.push_back(note);
    }
  }
  residents.count(need.devices);
  DeviceMemoryPlan& host = need.devices[static_cast<size_t>(plans[0]->host)];
  for (const auto& [name, bytes] : inputs) host.step_inputs += bytes;
  host.program = resident_bytes();

  const MachineMemory machine = machine_memory();
  for (size_t d = 0; d < need.devices.size(); ++d) {
    DeviceMemoryPlan& device = need.devices[d];
    device.name = "host";
    bool is_host = true;
    if (d < devices_.devices.size()) {
      const backend::Limits of = devices_.devices[d].backend->limits();
      device.name = devices_.devices[d].name;
      device.device = of.device;
      device.capacity = of.memory_bytes;
      is_host = of.shares_host_memory;
    }
    if (is_host) {
      device.capacity = machine.total_bytes;
      device.available = machine.available_bytes;
    }
    const auto cap = options_.memory.find(device.name);
    if (cap == options_.memory.end()) continue;
    device.capacity = device.capacity == 0 ? cap->second : std::min(device.capacity, cap->second);
    device.available = device.available == 0 ? 0 : std::min(device.available, device.capacity);
  }
  return need;
}

MemoryPlanner::Need MemoryPlanner::need(int64_t context, int64_t sequences, exec::PlanCache* plans) const {
  try {
    return compile(context, sequences, options_, plans);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) throw;
  }
  CompileOptions without_caps = options_;
  without_caps.memory.clear();
  without_caps.strict = false;  // whatever else is full is told all the same
  Need need = compile(context, sequences, without_caps, nullptr);
  need.is_routed = false;
  return need;
}

int64_t MemoryPlanner::taken(const DeviceMemoryPlan& device) const {
  return device.total() - (options_.memory.contains(device.name) ? device.program : 0);
}

bool MemoryPlanner::fits(const Need& need) const {
  return need.is_routed && std::all_of(need.devices.begin(), need.devices.end(), [&](const auto& device) {
           return device.capacity == 0 || taken(device) <= device.capacity;
         });
}

bool MemoryPlanner::fits(int64_t context, int64_t sequences) const {
  return sequences <= kMostCacheTokens / context && fits(need(context, sequences, nullptr));
}

int64_t MemoryPlanner::largest_context(int64_t sequences) const {
  const int64_t most = model_.dimensions().max_positions;
  if (fits(most, sequences)) return most;
  // Memory grows by pages.
  return kv::kPageTokens * largest(1, most / kv::kPageTokens,
                                   [&](int64_t pages) { return fits(pages * kv::kPageTokens, sequences); });
}

int64_t MemoryPlanner::most_sequences(int64_t context) const {
  return largest(1, kMaxSequences, [&](int64_t sequences) { return fits(context, sequences); });
}

void MemoryPlanner::refuse(const Need& need, int64_t context, int64_t sequences) const {
  const auto full = std::find_if(need.devices.begin(), need.devices.end(), [&](const auto& device) {
    return device.capacity > 0 && taken(device) > device.capacity;
  });
  // A cap that no device's own sum exceeds still left no way to route.
  const DeviceMemoryPlan& device = full == need.devices.end() ? need.devices.front() : *full;
  const auto cap = options_.memory.find(device.name);
  const bool is_capped = cap != options_.memory.end() && cap->second == device.capacity;
  const int64_t smaller_context = largest_context(sequences);
  const int64_t fewer_sequences = sequences > 1 ? most_sequences(context) : 0;
  std::vector<std::string> ways;
  if (smaller_context > 0) ways.push_back(fmt::format("context {} would fit", smaller_context));
  if (fewer_sequences > 0) {
    ways.push_back(fmt::format("{} at {}{}", sequences_text(fewer_sequences), context,
                               ways.empty() ? " would fit" : ""));
  }
  std::string advice = ways.empty() ? fmt::format(
                                          "no smaller context or number of sequences would fit: the weights "
                                          "alone take {}",
                                          bytes_text(device.weights))
                                    : ways[0];
  if (ways.size() == 2) advice += ", or " + ways[1];
  fail(ErrorCode::invalid_argument, "memory: needs {} at context {} with {}, the {} has {}{}; {}",
       bytes_text(taken(device)), context, sequences_text(sequences), device.name,
       bytes_text(device.capacity), is_capped ? " (the cap)" : "", advice);
}

MemoryPlanner::Need MemoryPlanner::fitting(int64_t context, int64_t sequences) const {
  if (sequences > kMostCacheTokens / context) {
    fail(ErrorCode::invalid_argument, "sequences: expected at most {} at context {}, found {}",
         kMostCacheTokens / context, context, sequences);
  }
  Need asked = need(context, sequences, plans_);
  if (!fits(asked)) refuse(asked, context, sequences);
  return asked;
}

std::vector<std::string> MemoryPlanner::expect_fit(int64_t context, int64_t sequences) const {
  return fitting(context, sequences).notes;
}

MemoryPlan MemoryPlanner::plan(int64_t context, int64_t sequences) const {
  Need asked = fitting(context, sequences);
  return {.context = context,
          .sequences = sequences,
          .devices = std::move(asked.devices),
          .notes = std::move(asked.notes),
          .largest_context = largest_context(sequences),
          .most_sequences = most_sequences(context)};
}

}  // namespace ingot::api

namespace ingot {

MemoryPlan plan_memory(const std::string& path, const LoadOptions& options) {
  const api::Opened opened = api::open(path, options);
  const api::MemoryPlanner planner(*opened.model, opened.devices, options.compile);
  return planner.plan(opened.context, options.sequences);
}

int64_t MemoryPlan::total() const {
  int64_t bytes = 0;
  for (const DeviceMemoryPlan& device : devices) bytes += device.total();
  return bytes;
}

}  // namespace ingot
