// The table and the JSON of a MemoryPlan.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

struct Row {
  const char* name;
  int64_t DeviceMemoryPlan::*bytes;
  const char* remark;
};

constexpr Row kRows[] = {
    {"weights", &DeviceMemoryPlan::weights, "mapped from the checkpoint, resident as they are read"},
    {"KV cache", &DeviceMemoryPlan::kv_cache, "touched as it fills"},
    {"token counts", &DeviceMemoryPlan::token_counts, "for penalties"},
    {"activations", &DeviceMemoryPlan::activations, nullptr},
    {"workspace", &DeviceMemoryPlan::workspace, "of the kernel that needs most"},
    {"step inputs", &DeviceMemoryPlan::step_inputs, ""},
    {"program", &DeviceMemoryPlan::program, "code, graph and tokenizer where loaded, measured"},
};

void print_line(const std::string& name, const std::vector<std::string>& cells, std::string_view remark) {
  std::string line = fmt::format("  {:<14}", name);
  for (const std::string& cell : cells) line += fmt::format("{:>12}", cell);
  if (!remark.empty()) line += fmt::format("  {}", remark);
  fmt::print("{}\n", line);
}

std::vector<std::string> cells_of(const MemoryPlan& plan, int64_t DeviceMemoryPlan::*bytes) {
  std::vector<std::string> cells;
  cells.reserve(plan.devices.size());
  for (const DeviceMemoryPlan& device : plan.devices) cells.push_back(human_bytes(device.*bytes));
  return cells;
}

/// "arena; 4.4 MiB alive at once at least (98 % of it)"
std::string arena_remark(const MemoryPlan& plan) {
  int64_t arena = 0;
  int64_t live = 0;
  for (const DeviceMemoryPlan& device : plan.devices) {
    arena += device.activations;
    live += device.activations_live;
  }
  if (live == 0) return "";
  return fmt::format("one arena, {:.2f} x the most alive at once ({})",
                     static_cast<double>(arena) / static_cast<double>(live), human_bytes(live));
}

std::string plural(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

void print_memory(const MemoryPlan& plan) {
  fmt::print("memory for {} of {} tokens\n", plural(plan.sequences, "sequence"), plan.context);
  if (plan.devices.size() > 1) {
    std::vector<std::string> names;
    names.reserve(plan.devices.size());
    for (const DeviceMemoryPlan& device : plan.devices) names.push_back(device.name);
    print_line("", names, "");
  }
  for (const Row& row : kRows) {
    print_line(row.name, cells_of(plan, row.bytes), row.remark ? row.remark : arena_remark(plan));
  }
  std::vector<std::string> totals;
  bool is_tight = false;
  for (const DeviceMemoryPlan& device : plan.devices) {
    totals.push_back(human_bytes(device.total()));
    is_tight = is_tight || (device.available > 0 && device.total() > device.available);
  }
  print_line("total", totals, "");
  print_line("device has", cells_of(plan, &DeviceMemoryPlan::capacity), "");
  print_line("available now", cells_of(plan, &DeviceMemoryPlan::available),
             is_tight ? "less than the total: other programs must give way" : "");
  fmt::print("  fits: context {} with {}, or {} of context {}\n", plan.largest_context,
             plural(plan.sequences, "sequence"), plural(plan.most_sequences, "sequence"), plan.context);
  for (const std::string& note : plan.notes) fmt::print("  note: {}\n", note);
}

void print_memory_json(const std::string& folder, const MemoryPlan& plan) {
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (const DeviceMemoryPlan& device : plan.devices) {
    devices.push_back({{"name", device.name},
                       {"device", device.device},
                       {"weights", device.weights},
                       {"kv_cache", device.kv_cache},
                       {"token_counts", device.token_counts},
                       {"activations", device.activations},
                       {"activations_live", device.activations_live},
                       {"workspace", device.workspace},
                       {"step_inputs", device.step_inputs},
                       {"program", device.program},
                       {"total", device.total()},
                       {"capacity", device.capacity},
                       {"available", device.available}});
  }
  const nlohmann::ordered_json json = {{"version", version()},
                                       {"model", folder},
                                       {"context", plan.context},
                                       {"sequences", plan.sequences},
                                       {"devices", devices},
                                       {"total", plan.total()},
                                       {"largest_context", plan.largest_context},
                                       {"most_sequences", plan.most_sequences},
                                       {"notes", plan.notes}};
  fmt::print("{}\n", json.dump(2));
}

}  // namespace ingot::cli
