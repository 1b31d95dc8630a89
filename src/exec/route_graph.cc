#include "exec/route_graph.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/check.h"
#include "exec/cost_model.h"
#include "exec/route_rules.h"

namespace ingot::exec {

using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {

constexpr int kNone = RouteProblem::kNone;

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}

std::string us_text(double us) {
  return us < 100 ? fmt::format("{:.1f} us", us) : fmt::format("{:.0f} us", us);
}

}  // namespace

std::string bytes_text(double bytes) {
  constexpr std::string_view kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1000;
  return fmt::format("{:.4g} {}", bytes, kUnits[unit]);
}

/// Launches that leave a full device together: a layer's, or one that belongs to no layer.
struct GraphRouter::Unit {
  std::vector<size_t> launches;
};

GraphRouter::GraphRouter(const Plan& plan, std::span<const Device> devices, const CompileOptions& options,
                         std::vector<LaunchCandidates> candidates)
    : plan_(plan),
      graph_(*plan.graph),
      devices_(devices),
      options_(options),
      candidates_(std::move(candidates)),
      banned_(candidates_.size(), std::vector<std::string>(devices.size())) {
  problem_.memory_of = plan.memory_of;
  problem_.memories = static_cast<int>(plan.bytes.size());
  problem_.host = plan.host;
  for (const LaunchCandidates& launch : candidates_) {
    RouteProblem::Launch& row = problem_.launches.emplace_back();
    for (const Candidate& candidate : launch.by_device) row.us.push_back(candidate.us);
  }
  find_groups();
  find_values();
  check_possible();
  // One sentence for each op and device that lacks it.
  std::map<std::pair<size_t, std::string>, int> lacking;
  for (const LaunchCandidates& launch : candidates_) {
    for (size_t d = 0; d < devices_.size(); ++d) {
      if (!launch.by_device[d].can_run()) ++lacking[{d, std::string(graph_.node(launch.node).op->name())}];
    }
  }
  for (const auto& [what, count] : lacking) {
    notes_.push_back(fmt::format("{} has no kernel for {}: {} launch{} passed it over",
                                 devices_[what.first].name, what.second, count, count == 1 ? "" : "es"));
    if (options_.strict) fail(ErrorCode::unsupported, "strict: {}", notes_.back());
  }
}

Value GraphRouter::state_of(Value value) const {
  while (const auto alias = graph::alias_of(graph_, value)) value = *alias;
  return graph_.node(value).kind == NodeKind::state ? value : Value{};
}

std::string GraphRouter::where(size_t launch) const {
  const Value value = candidates_[launch].node;
  const Node& node = graph_.node(value);
  return node.name.empty() ? fmt::format("{} %{}", node.op->name(), value.id)
                           : fmt::format("{} '{}'", node.op->name(), node.name);
}

/// Launches that use a state are a group; those of two states that share a launch are one.
void GraphRouter::find_groups() {
  std::vector<int> parent(graph_.nodes().size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto find = [&](int state) {
    while (parent[static_cast<size_t>(state)] != state) state = parent[static_cast<size_t>(state)];
    return state;
  };
  std::vector<Value> first_state(candidates_.size());
  for (size_t i = 0; i < candidates_.size(); ++i) {
    for (Value input : graph_.node(candidates_[i].node).inputs) {
      const Value state = state_of(input);
      if (state.id < 0) continue;
      if (first_state[i].id < 0) first_state[i] = state;
      parent[static_cast<size_t>(find(state.id))] = find(first_state[i].id);
    }
  }
  std::vector<int> group_of(graph_.nodes().size(), kNone);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (first_state[i].id < 0) continue;
    int& group = group_of[static_cast<size_t>(find(first_state[i].id))];
    if (group == kNone) {
      group = problem_.groups++;
      group_state_.push_back(first_state[i]);
      group_launches_.emplace_back();
    }
    problem_.launches[i].group = group;
    group_launches_[static_cast<size_t>(group)].push_back(i);
  }
}

void GraphRouter::find_values() {
  std::vector<int> value_of(graph_.nodes().size(), kNone);
  const size_t memories = plan_.bytes.size();
  DeviceCosts host;
  host.device = "host";
  const bool has_costs = is_calibrated(devices_);
  const auto costs = [&](size_t memory) -> const DeviceCosts& {
    return memory < devices_.size() ? *devices_[memory].costs : host;
  };
  const auto add = [&](Value value, int maker) {
    RouteProblem::Value entry;
    entry.maker = maker;
    const auto bytes = static_cast<double>(shape_of(graph_, value, plan_.bucket).bytes());
    for (size_t from = 0; from < memories; ++from) {
      for (size_t to = 0; to < memories; ++to) {
        entry.move_us.push_back(has_costs && from != to ? transfer_us(costs(from), costs(to), bytes) : 0);
      }
    }
    value_of[index(value)] = static_cast<int>(problem_.values.size());
    problem_.values.push_back(std::move(entry));
  };
  size_t launch = 0;
  int maker = kNone;
  for (size_t i = 0; i < graph_.nodes().size(); ++i) {
    const Value value{static_cast<int32_t>(i)};
    const Node& node = graph_.nodes()[i];
    if (is_launched(node)) {
      maker = static_cast<int>(launch);
      for (Value input : node.inputs) {
        const int read = value_of[index(viewed(graph_, input))];
        std::vector<int>& reads = problem_.launches[launch].reads;
        if (read != kNone && std::find(reads.begin(), reads.end(), read) == reads.end())
          reads.push_back(read);
      }
      ++launch;
    }
    // A state's versions are read where the state lives: they never cross.
    const bool is_made = (is_launched(node) || node.kind == NodeKind::result) && state_of(value).id < 0;
    if (is_made) add(value, maker);
    if (node.kind == NodeKind::input) add(value, kNone);
  }
  for (const graph::Output& output : graph_.outputs()) {
    const int value = value_of[index(viewed(graph_, output.value))];
    if (value != kNone) problem_.values[static_cast<size_t>(value)].is_output = true;
  }
}

void GraphRouter::check_possible() const {
  std::vector<std::string_view> names;
  for (const Device& device : devices_) names.push_back(device.name);
  for (const LaunchCandidates& launch : candidates_) {
    const bool can = std::any_of(launch.by_device.begin(), launch.by_device.end(),
                                 [](const Candidate& candidate) { return candidate.can_run(); });
    if (can) continue;
    const Node& node = graph_.node(launch.node);
    fail(ErrorCode::unsupported, "{}: no kernel for {} : {} in a {} step", fmt::join(names, ", "),
         node.op->name(), to_string(node.type), to_string(plan_.step));
  }
  for (size_t group = 0; group < group_launches_.size(); ++group) {
    bool can = false;
    for (size_t device = 0; device < devices_.size(); ++device) {
      const auto& launches = group_launches_[group];
      can = can || std::all_of(launches.begin(), launches.end(), [&](size_t launch) {
              return candidates_[launch].by_device[device].can_run();
            });
    }
    if (can) continue;
    fail(ErrorCode::unsupported, "{}: none has kernels for every op that uses state '{}' in a {} step",
         fmt::join(names, ", "), graph_.node(group_state_[group]).name, to_string(plan_.step));
  }
}

/// Leaves each launch with a wish only its device: a group follows the first of its wishes that all its
/// launches can follow.
void GraphRouter::apply_wishes(RouteProblem& problem) {
  wish_reasons_.assign(candidates_.size(), {});
  std::vector<int> granted(group_launches_.size(), kNone);
  const auto follow = [&](size_t launch, int device, std::string reason) {
    auto& us = problem.launches[launch].us;
    for (size_t d = 0; d < us.size(); ++d) {
      if (static_cast<int>(d) != device) us[d] = kImpossible;
    }
    wish_reasons_[launch] = std::move(reason);
  };
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const Node& node = graph_.node(candidates_[i].node);
    const auto elements = shape_of(graph_, candidates_[i].node, plan_.bucket).elements();
    const auto wish = wish_for(options_, devices_, node, elements);
    if (!wish) continue;
    const auto device = static_cast<size_t>(wish->device);
    const int group = problem.launches[i].group;
    const auto refuse = [&](const std::string& why) {
      notes_.push_back(
          fmt::format("{}: {} asks for {}, but {}", where(i), wish->reason, devices_[device].name, why));
      if (options_.strict) fail(ErrorCode::unsupported, "strict: {}", notes_.back());
    };
    const auto can = [&](size_t launch) { return problem_.launches[launch].us[device] != kImpossible; };
    if (!can(i)) {
      if (banned_[i][device].empty()) refuse("it has no kernel for the op");
      continue;
    }
    if (group == kNone) {
      follow(i, wish->device, wish->reason);
      continue;
    }
    const auto& members = group_launches_[static_cast<size_t>(group)];
    const std::string& state = graph_.node(group_state_[static_cast<size_t>(group)]).name;
    int& taken = granted[static_cast<size_t>(group)];
    if (taken == kNone && std::all_of(members.begin(), members.end(), can)) {
      taken = wish->device;
      for (size_t member : members) follow(member, taken, fmt::format("state {} lives here", state));
    }
    if (taken == wish->device) {
      wish_reasons_[i] = wish->reason;
    } else if (taken == kNone) {
      refuse(fmt::format("it has no kernel for another op that uses state {}", state));
    } else {
      refuse(fmt::format("state {} lives on {}", state, devices_[static_cast<size_t>(taken)].name));
    }
  }
}

std::string GraphRouter::reason_for(size_t launch, int device, const RouteProblem& problem) const {
  if (devices_.size() == 1) return "the only device";
  if (!wish_reasons_[launch].empty()) return wish_reasons_[launch];
  const LaunchCandidates& candidates = candidates_[launch];
  const bool has_costs = is_calibrated(devices_);
  std::vector<std::string> parts;
  std::vector<std::string> others;
  const double here = candidates.by_device[static_cast<size_t>(device)].us;
  bool is_slower = false;
  for (size_t d = 0; d < devices_.size(); ++d) {
    if (static_cast<int>(d) == device) continue;
    if (!banned_[launch][d].empty()) {
      parts.push_back(banned_[launch][d]);
    } else if (!candidates.by_device[d].can_run()) {
      parts.push_back(fmt::format("no kernel on {}", devices_[d].name));
    } else {
      others.push_back(fmt::format("{} on {}", us_text(candidates.by_device[d].us), devices_[d].name));
      is_slower = is_slower || candidates.by_device[d].us < here;
    }
  }
  if (!has_costs) {
    if (parts.empty() && device == 0) return "the first device; not calibrated";
    if (parts.empty()) parts.emplace_back("not calibrated");
    if (is_slower && problem.launches[launch].group != kNone) {
      parts.push_back(
          fmt::format("state {} lives here",
                      graph_.node(group_state_[static_cast<size_t>(problem.launches[launch].group)]).name));
    }
    return fmt::format("{}", fmt::join(parts, "; "));
  }
  if (!others.empty()) {
    std::string text = fmt::format("predicted {} here, {}", us_text(here), fmt::join(others, ", "));
    if (is_slower) {
      const int group = problem.launches[launch].group;
      text += group == kNone ? " and more for transfers"
                             : fmt::format("; state {} lives here",
                                           graph_.node(group_state_[static_cast<size_t>(group)]).name);
    }
    parts.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::vector<RoutedLaunch> GraphRouter::route() {
  RouteProblem problem = problem_;
  const size_t notes = notes_.size();
  apply_wishes(problem);
  Route way;
  if (devices_.size() == 1) {
    way.device.assign(candidates_.size(), 0);
  } else {
    way = find_route(problem);
  }
  INGOT_CHECK(way.device.size() == candidates_.size(), "no way for {} launches", candidates_.size());
  // Asked again after a device was full, wishes are refused again: once is enough.
  std::vector<std::string> fresh(notes_.begin() + static_cast<std::ptrdiff_t>(notes), notes_.end());
  notes_.resize(notes);
  for (std::string& note : fresh) {
    if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(std::move(note));
  }
  const bool has_costs = is_calibrated(devices_);
  std::vector<RoutedLaunch> routed;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const Candidate& candidate = candidates_[i].by_device[static_cast<size_t>(way.device[i])];
    routed.push_back({.node = candidates_[i].node,
                      .device = way.device[i],
                      .us = has_costs ? candidate.us : 0,
                      .is_unfused = candidate.kernel == nullptr,
                      .reason = reason_for(i, way.device[i], problem)});
  }
  return routed;
}

/// Whether another device can run the launch, and all that share a state with it.
bool GraphRouter::can_leave(size_t launch, int device) const {
  const int group = problem_.launches[launch].group;
  const std::vector<size_t> alone{launch};
  const auto& members = group == kNone ? alone : group_launches_[static_cast<size_t>(group)];
  for (size_t d = 0; d < devices_.size(); ++d) {
    if (static_cast<int>(d) == device) continue;
    if (std::all_of(members.begin(), members.end(),
                    [&](size_t member) { return problem_.launches[member].us[d] != kImpossible; }))
      return true;
  }
  return false;
}

void GraphRouter::ban(size_t launch, int device, const std::string& reason) {
  const int group = problem_.launches[launch].group;
  const std::vector<size_t> alone{launch};
  for (size_t member : group == kNone ? alone : group_launches_[static_cast<size_t>(group)]) {
    problem_.launches[member].us[static_cast<size_t>(device)] = kImpossible;
    banned_[member][static_cast<size_t>(device)] = reason;
  }
}

/// The device's launches in the order in which they leave it: the last layer first, those of no layer last.
std::vector<GraphRouter::Unit> GraphRouter::units_of(int device, std::span<const RoutedLaunch> routed) const {
  std::map<int32_t, Unit, std::greater<>> layers;
  std::vector<Unit> loose;
  for (size_t i = routed.size(); i-- > 0;) {
    if (routed[i].device != device || !can_leave(i, device)) continue;
    const int32_t layer = graph_.node(routed[i].node).layer;
    if (layer == graph::kNoLayer) {
      loose.push_back({.launches = {i}});
    } else {
      layers[layer].launches.push_back(i);
    }
  }
  std::vector<Unit> units;
  for (auto& [layer, unit] : layers) units.push_back(std::move(unit));
  units.insert(units.end(), loose.begin(), loose.end());
  return units;
}

bool GraphRouter::take_trailing(int device, size_t excess_bytes, std::span<const RoutedLaunch> routed,
                                const std::string& reason) {
  const auto residents = [&](size_t launch) {
    std::vector<Value> found;
    for (Value input : graph_.node(routed[launch].node).inputs) {
      const Value state = state_of(input);
      const Value resident = state.id >= 0 ? state : viewed(graph_, input);
      const bool is_resident = state.id >= 0 || graph_.node(resident).kind == NodeKind::weight;
      if (is_resident && std::find(found.begin(), found.end(), resident) == found.end())
        found.push_back(resident);
    }
    return found;
  };
  std::vector<int> readers(graph_.nodes().size(), 0);
  for (size_t i = 0; i < routed.size(); ++i) {
    if (routed[i].device != device) continue;
    for (Value resident : residents(i)) ++readers[index(resident)];
  }
  size_t freed = 0;
  bool has_taken = false;
  for (const Unit& unit : units_of(device, routed)) {
    bool has_residents = false;
    for (size_t launch : unit.launches) {
      for (Value resident : residents(launch)) {
        has_residents = true;
        if (--readers[index(resident)] == 0) freed += shape_of(graph_, resident, plan_.bucket).bytes();
      }
    }
    // What activations take is known once the rest is planned again: one unit without weights at a time.
    if (has_taken && (freed >= excess_bytes || !has_residents)) break;
    for (size_t launch : unit.launches) {
      // A group may have left whole with another of its launches.
      if (problem_.launches[launch].us[static_cast<size_t>(device)] != kImpossible)
        ban(launch, device, reason);
    }
    has_taken = true;
    if (freed >= excess_bytes) break;
  }
  return has_taken;
}

}  // namespace ingot::exec
