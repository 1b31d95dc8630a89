#include "exec/route.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "base/check.h"

namespace ingot::exec {
namespace {

constexpr size_t kRivals = 6;  // cheapest states that the others are compared with

/// What a state knows of a value: the memory that made it, and a bit for each that has it.
struct Copies {
  uint8_t home = 0;
  uint8_t have = 0;
};

uint8_t bit(int memory) {
  return static_cast<uint8_t>(1U << static_cast<unsigned>(memory));
}

/// A value or a group that a state must remember, and where: its place in the state of the launch before and
/// in that of the launch after.
struct Item {
  int value = RouteProblem::kNone;
  int group = RouteProblem::kNone;
};

/// The states after one launch, row by row; a row has a Copies for each item.
struct Layer {
  std::vector<Item> items;
  std::vector<Copies> rows;
  std::vector<double> us;
  std::vector<uint32_t> parents;
  std::vector<uint8_t> devices;  // of the launch

  size_t width() const { return items.size(); }
  size_t states() const { return us.size(); }
  const Copies* row(size_t state) const { return rows.data() + state * width(); }
};

uint64_t hash(const Copies* row, size_t width) {
  uint64_t value = 0x9e3779b97f4a7c15U;
  for (size_t i = 0; i < width; ++i) {
    value ^= static_cast<uint64_t>(row[i].home) << 8U | row[i].have;
    value *= 0xff51afd7ed558ccdU;
    value ^= value >> 29U;
  }
  return value;
}

class Search {
 public:
  Search(const RouteProblem& problem, size_t most_states)
      : problem_(problem),
        most_states_(most_states),
        last_read_(problem.values.size(), RouteProblem::kNone),
        made_by_(problem.launches.size()),
        group_first_(static_cast<size_t>(problem.groups), RouteProblem::kNone),
        group_last_(static_cast<size_t>(problem.groups), RouteProblem::kNone) {
    for (size_t i = 0; i < problem.launches.size(); ++i) {
      const auto launch = static_cast<int>(i);
      for (int value : problem.launches[i].reads) last_read_[static_cast<size_t>(value)] = launch;
      const int group = problem.launches[i].group;
      if (group == RouteProblem::kNone) continue;
      int& first = group_first_[static_cast<size_t>(group)];
      if (first == RouteProblem::kNone) first = launch;
      group_last_[static_cast<size_t>(group)] = launch;
    }
    for (size_t v = 0; v < problem.values.size(); ++v) {
      if (problem.values[v].maker != RouteProblem::kNone)
        made_by_[static_cast<size_t>(problem.values[v].maker)].push_back(static_cast<int>(v));
    }
  }

  Route run() {
    Layer layer = start();
    Route route;
    std::vector<std::vector<uint32_t>> parents;
    std::vector<std::vector<uint8_t>> devices;
    for (size_t i = 0; i < problem_.launches.size(); ++i) {
      layer = step(layer, static_cast<int>(i));
      prune(layer, route);
      if (layer.states() == 0) return route;
      parents.push_back(std::move(layer.parents));
      devices.push_back(std::move(layer.devices));
    }
    // Nothing is remembered after the last launch: one state, the best, is left.
    size_t state = 0;
    route.us = layer.us[0];
    route.device.resize(problem_.launches.size());
    for (size_t i = problem_.launches.size(); i-- > 0;) {
      route.device[i] = devices[i][state];
      state = parents[i][state];
    }
    return route;
  }

 private:
  double move_us(int value, int from, int to) const {
    return problem_.values[static_cast<size_t>(value)]
        .move_us[static_cast<size_t>(from * problem_.memories + to)];
  }
  bool lives_after(int value, int launch) const { return last_read_[static_cast<size_t>(value)] > launch; }

  /// Before the first launch: what the host has and somebody will read.
  Layer start() const {
    Layer layer;
    for (size_t v = 0; v < problem_.values.size(); ++v) {
      if (problem_.values[v].maker != RouteProblem::kNone || !lives_after(static_cast<int>(v), -1)) continue;
      layer.items.push_back({.value = static_cast<int>(v)});
      layer.rows.push_back({.home = static_cast<uint8_t>(problem_.host), .have = bit(problem_.host)});
    }
    layer.us = {0};
    return layer;
  }

  Layer step(const Layer& before, int launch) {
    const RouteProblem::Launch& now = problem_.launches[static_cast<size_t>(launch)];
    Layer after;
    std::vector<size_t> kept;                   // by item of `after` that goes on: its place in `before`
    std::vector<std::pair<int, size_t>> reads;  // value, its place in `before`
    size_t group_at = SIZE_MAX;
    for (size_t at = 0; at < before.width(); ++at) {
      const Item& item = before.items[at];
      if (item.group != RouteProblem::kNone) {
        if (item.group == now.group) group_at = at;
        if (group_last_[static_cast<size_t>(item.group)] <= launch) continue;
      } else {
        if (std::find(now.reads.begin(), now.reads.end(), item.value) != now.reads.end())
          reads.emplace_back(item.value, at);
        if (!lives_after(item.value, launch)) continue;
      }
      after.items.push_back(item);
      kept.push_back(at);
    }
    const size_t carried = after.items.size();
    double made_us = 0;
    for (int value : made_by_[static_cast<size_t>(launch)]) {
      if (lives_after(value, launch)) after.items.push_back({.value = value});
    }
    const bool group_starts = now.group != RouteProblem::kNone && group_at == SIZE_MAX &&
                              group_last_[static_cast<size_t>(now.group)] > launch;
    if (group_starts) after.items.push_back({.group = now.group});

    const size_t width = after.width();
    std::vector<Copies> row(std::max(width, before.width()) + 1);
    std::vector<Copies> next(width + 1);
    reset_table(before.states() * now.us.size());
    for (size_t device = 0; device < now.us.size(); ++device) {
      if (now.us[device] == kImpossible) continue;
      const int memory = problem_.memory_of[device];
      made_us = 0;
      for (int value : made_by_[static_cast<size_t>(launch)]) {
        if (problem_.values[static_cast<size_t>(value)].is_output)
          made_us += move_us(value, memory, problem_.host);
      }
      for (size_t state = 0; state < before.states(); ++state) {
        const Copies* from = before.row(state);
        if (group_at != SIZE_MAX && from[group_at].home != device) continue;
        double us = before.us[state] + now.us[device] + made_us;
        std::copy(from, from + before.width(), row.begin());
        for (const auto& [value, at] : reads) {
          if ((row[at].have & bit(memory)) != 0) continue;
          us += move_us(value, row[at].home, memory);
          row[at].have = static_cast<uint8_t>(row[at].have | bit(memory));
        }
        for (size_t i = 0; i < carried; ++i) next[i] = row[kept[i]];
        for (size_t i = carried; i < width; ++i) {
          const Item& item = after.items[i];
          if (item.group != RouteProblem::kNone) {
            next[i] = {.home = static_cast<uint8_t>(device), .have = 0};
            continue;
          }
          next[i] = {.home = static_cast<uint8_t>(memory), .have = bit(memory)};
          if (problem_.values[static_cast<size_t>(item.value)].is_output)
            next[i].have = static_cast<uint8_t>(next[i].have | bit(problem_.host));
        }
        keep(after, next.data(), us, static_cast<uint32_t>(state), static_cast<uint8_t>(device));
      }
    }
    return after;
  }

  void reset_table(size_t most) {
    size_t size = 16;
    while (size < most * 2) size *= 2;
    table_.assign(size, UINT32_MAX);
  }

  /// Adds a state, or makes an equal one cheaper.
  void keep(Layer& layer, const Copies* row, double us, uint32_t parent, uint8_t device) {
    const size_t width = layer.width();
    size_t at = hash(row, width) & (table_.size() - 1);
    for (; table_[at] != UINT32_MAX; at = (at + 1) & (table_.size() - 1)) {
      const size_t state = table_[at];
      if (width > 0 && std::memcmp(layer.row(state), row, width * sizeof(Copies)) != 0) continue;
      if (us < layer.us[state]) {
        layer.us[state] = us;
        layer.parents[state] = parent;
        layer.devices[state] = device;
      }
      return;
    }
    table_[at] = static_cast<uint32_t>(layer.states());
    layer.rows.insert(layer.rows.end(), row, row + width);
    layer.us.push_back(us);
    layer.parents.push_back(parent);
    layer.devices.push_back(device);
  }

  /// What the state `a` would pay at most to follow every later choice of `b`.
  double price_to_follow(const Layer& layer, size_t a, size_t b, double limit) const {
    double price = 0;
    for (size_t i = 0; i < layer.width(); ++i) {
      const Copies& mine = layer.row(a)[i];
      const Copies& theirs = layer.row(b)[i];
      const Item& item = layer.items[i];
      if (item.group != RouteProblem::kNone) {
        if (mine.home != theirs.home) return kImpossible;
        continue;
      }
      if (mine.home == theirs.home && (theirs.have & ~mine.have) == 0) continue;
      for (int memory = 0; memory < problem_.memories; ++memory) {
        if ((mine.have & bit(memory)) != 0) continue;
        const double us = move_us(item.value, mine.home, memory);
        const bool they_have = (theirs.have & bit(memory)) != 0;
        price += they_have ? us : std::max(0.0, us - move_us(item.value, theirs.home, memory));
      }
      if (price > limit) return price;
    }
    return price;
  }

  void prune(Layer& layer, Route& route) const {
    std::vector<uint32_t> order(layer.states());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return layer.us[a] != layer.us[b] ? layer.us[a] < layer.us[b] : a < b;
    });
    std::vector<uint32_t> kept;
    for (uint32_t state : order) {
      const size_t rivals = std::min(kept.size(), kRivals);
      const bool is_dominated =
          std::any_of(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(rivals), [&](uint32_t rival) {
            const double margin = layer.us[state] - layer.us[rival];
            return price_to_follow(layer, rival, state, margin) <= margin;
          });
      if (is_dominated) continue;
      if (kept.size() == most_states_) {
        route.is_exact = false;
        break;
      }
      kept.push_back(state);
    }
    route.most_states = std::max(route.most_states, kept.size());
    Layer result;
    result.items = std::move(layer.items);
    const size_t width = result.items.size();
    for (uint32_t state : kept) {
      const Copies* row = layer.rows.data() + state * width;
      result.rows.insert(result.rows.end(), row, row + width);
      result.us.push_back(layer.us[state]);
      result.parents.push_back(layer.parents[state]);
      result.devices.push_back(layer.devices[state]);
    }
    layer = std::move(result);
  }

  const RouteProblem& problem_;
  size_t most_states_;
  std::vector<int> last_read_;             // by value: launch
  std::vector<std::vector<int>> made_by_;  // by launch: values
  std::vector<int> group_first_;
  std::vector<int> group_last_;
  std::vector<uint32_t> table_;  // states of the layer in the making, by hash
};

/// Moves single launches and whole groups to other devices while that helps.
void improve(const RouteProblem& problem, Route& route) {
  std::vector<std::vector<size_t>> units(static_cast<size_t>(problem.groups));
  for (size_t i = 0; i < problem.launches.size(); ++i) {
    const int group = problem.launches[i].group;
    if (group == RouteProblem::kNone) {
      units.push_back({i});
    } else {
      units[static_cast<size_t>(group)].push_back(i);
    }
  }
  constexpr int kRounds = 4;
  bool is_better = true;
  for (int round = 0; round < kRounds && is_better; ++round) {
    is_better = false;
    for (const std::vector<size_t>& unit : units) {
      if (unit.empty()) continue;
      const int old = route.device[unit[0]];
      int best = old;
      for (int device = 0; device < static_cast<int>(problem.memory_of.size()); ++device) {
        for (size_t launch : unit) route.device[launch] = device;
        const double us = device == old ? route.us : route_us(problem, route.device);
        if (us >= route.us) continue;
        route.us = us;
        best = device;
      }
      for (size_t launch : unit) route.device[launch] = best;
      is_better = is_better || best != old;
    }
  }
}

}  // namespace

Route find_route(const RouteProblem& problem, size_t most_states) {
  INGOT_CHECK(problem.memory_of.size() <= kMostDevices && most_states > 0, "{} devices, {} states",
              problem.memory_of.size(), most_states);
  Route route = Search(problem, most_states).run();
  if (!route.is_exact && !route.device.empty()) improve(problem, route);
  return route;
}

double route_us(const RouteProblem& problem, const std::vector<int>& device) {
  double us = 0;
  std::vector<int> group_device(static_cast<size_t>(problem.groups), RouteProblem::kNone);
  std::vector<Copies> copies(problem.values.size());
  const auto home = [&](const RouteProblem::Value& value) {
    return value.maker == RouteProblem::kNone
               ? problem.host
               : problem.memory_of[static_cast<size_t>(device[static_cast<size_t>(value.maker)])];
  };
  const auto bring = [&](int v, int to) {
    const RouteProblem::Value& value = problem.values[static_cast<size_t>(v)];
    Copies& copy = copies[static_cast<size_t>(v)];
    const int from = home(value);
    if (from == to || (copy.have & bit(to)) != 0) return;
    copy.have = static_cast<uint8_t>(copy.have | bit(to));
    us += value.move_us[static_cast<size_t>(from * problem.memories + to)];
  };
  for (size_t i = 0; i < problem.launches.size(); ++i) {
    const RouteProblem::Launch& launch = problem.launches[i];
    us += launch.us[static_cast<size_t>(device[i])];
    if (launch.group != RouteProblem::kNone) {
      int& chosen = group_device[static_cast<size_t>(launch.group)];
      if (chosen != RouteProblem::kNone && chosen != device[i]) return kImpossible;
      chosen = device[i];
    }
    for (int value : launch.reads) bring(value, problem.memory_of[static_cast<size_t>(device[i])]);
  }
  for (size_t v = 0; v < problem.values.size(); ++v) {
    if (problem.values[v].is_output) bring(static_cast<int>(v), problem.host);
  }
  return us;
}

}  // namespace ingot::exec
