// An independent check of a plan's memory: plays the plan, writing every value's name over the bytes it was
// given, and reports the first read that finds another's.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "exec/memory_planner.h"
#include "exec/plan.h"

namespace ingot::exec {

class PlanPlayer {
 public:
  explicit PlanPlayer(const Plan& plan) : plan_(plan), graph_(*plan.graph) {
    for (const DeviceBytes& bytes : plan.bytes)
      arenas_.emplace_back((bytes.arena + kArenaAlignment - 1) / kArenaAlignment, -1);
  }

  ::testing::AssertionResult play() {
    size_t transfer = 0;
    for (size_t i = 0; i <= plan_.launches.size(); ++i) {
      for (; transfer < plan_.transfers.size() && plan_.transfers[transfer].before_launch == i; ++transfer) {
        const Transfer& t = plan_.transfers[transfer];
        read(t.value, t.from);
        copies_[{t.value.id, t.to}] = t.offset;
        write(t.value, t.to, t.offset);
      }
      if (i < plan_.launches.size()) launch(plan_.launches[i]);
    }
    for (const graph::Output& output : graph_.outputs()) {
      if (place(output.value).kind != Place::Kind::weight) read(output.value, plan_.host);
    }
    if (transfer != plan_.transfers.size()) error_ = "a transfer is out of order";
    if (error_.empty()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << error_;
  }

 private:
  const Place& place(graph::Value value) const { return plan_.places[static_cast<size_t>(value.id)]; }
  const graph::Node& node(size_t i) const { return graph_.nodes()[i]; }
  void complain(const std::string& what) {
    if (error_.empty()) error_ = what;
  }

  void launch(const PlannedLaunch& launch) {
    const int memory = plan_.memory_of[static_cast<size_t>(launch.device)];
    const graph::Node& node = graph_.node(launch.node);
    for (graph::Value input : node.inputs) {
      if (place(input).kind != Place::Kind::weight) read(input, memory);
    }
    std::vector<graph::Value> written{launch.node};
    for (size_t i = static_cast<size_t>(launch.node.id) + 1;
         i < graph_.nodes().size() && graph_.nodes()[i].kind == graph::NodeKind::result; ++i)
      written.push_back({static_cast<int32_t>(i)});
    for (graph::Value value : written) {
      if (place(value).kind != Place::Kind::arena) continue;
      if (place(value).memory != memory) complain("a value is not where its launch runs");
      // An input may be overwritten only as the op allows: where it is, from its start, in its size.
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        const auto in = address(node.inputs[k], memory);
        if (!in) continue;
        const size_t bytes = size(value);
        const bool overlaps =
            place(value).offset < *in + size(node.inputs[k]) && *in < place(value).offset + bytes;
        const bool is_in_place = value == launch.node && node.op->in_place(static_cast<int>(k)) &&
                                 *in == place(value).offset && size(node.inputs[k]) == bytes;
        if (overlaps && !is_in_place) complain(std::string(node.op->name()) + " overwrites an input");
      }
      write(value, memory, place(value).offset);
    }
    for (graph::Value value : written) {
      if (place(value).kind == Place::Kind::arena) read(value, memory);  // results do not overlap each other
    }
  }

  size_t size(graph::Value value) const { return shape_of(graph_, value, plan_.bucket).bytes(); }

  /// Offset of a value in a memory's arena; none for inputs and states.
  std::optional<size_t> address(graph::Value value, int memory) {
    const graph::Value base = viewed(graph_, value);
    if (place(base).kind == Place::Kind::weight) return std::nullopt;
    if (place(base).memory == memory) {
      if (place(base).kind != Place::Kind::arena) return std::nullopt;
      if (place(value).offset != place(base).offset) complain("a view is elsewhere");
      return place(base).offset;
    }
    const auto copy = copies_.find({base.id, memory});
    if (copy == copies_.end()) {
      complain("value " + std::to_string(value.id) + " is not in memory " + std::to_string(memory));
      return std::nullopt;
    }
    return copy->second;
  }

  template <typename Unit>
  void each_unit(int memory, size_t offset, size_t bytes, const Unit& unit) {
    auto& arena = arenas_[static_cast<size_t>(memory)];
    if (offset % kArenaAlignment != 0) complain("an unaligned offset");
    for (size_t at = offset / kArenaAlignment; at * kArenaAlignment < offset + bytes; ++at) {
      if (at >= arena.size()) return complain("beyond the arena");
      unit(arena[at]);
    }
  }
  void write(graph::Value value, int memory, size_t offset) {
    each_unit(memory, offset, size(value), [&](int& owner) { owner = viewed(graph_, value).id; });
  }
  void read(graph::Value value, int memory) {
    const auto offset = address(value, memory);
    if (!offset) return;
    const int id = viewed(graph_, value).id;
    each_unit(memory, *offset, size(value), [&](const int& owner) {
      if (owner != id) {
        complain("value " + std::to_string(id) + " was overwritten by " + std::to_string(owner));
      }
    });
  }

  const Plan& plan_;
  const graph::Graph& graph_;
  std::vector<std::vector<int>> arenas_;          // by memory: the value that owns each unit
  std::map<std::pair<int, int>, size_t> copies_;  // by value and memory: offset
  std::string error_;
};

}  // namespace ingot::exec
