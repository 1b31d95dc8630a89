#include "exec/layout.h"

#include <algorithm>

#include "base/check.h"
#include "exec/memory_planner.h"

namespace ingot::exec {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

constexpr int kForever = 1 << 30;
constexpr int kNowhere = -1;

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}

/// Storage in an arena. Time is counted in nodes.
struct Block {
  int memory = 0;
  Value root;     // the value that it was made for
  int last = -1;  // the last node that reads it under any name
  Lifetime lifetime;
};

class Layout {
 public:
  explicit Layout(Plan& plan)
      : plan_(plan),
        graph_(*plan.graph),
        places_(plan.bytes.size()),
        end_(static_cast<int>(graph_.nodes().size())),
        home_(graph_.nodes().size(), plan.host),
        block_(graph_.nodes().size() * places_, kNowhere),
        last_(graph_.nodes().size() * places_, kNowhere) {
    // Every value is asked for its base several times; most are their own.
    for (size_t i = 0; i < graph_.nodes().size(); ++i) bases_.push_back(viewed(graph_, value(i)));
  }

  void run() {
    find_homes();
    find_transfers();
    make_blocks();
    place_blocks();
    count_residents();
    find_outputs_for_next();
  }

 private:
  static Value value(size_t i) { return {static_cast<int32_t>(i)}; }
  size_t at(Value value, int memory) const { return index(value) * places_ + static_cast<size_t>(memory); }
  int memory_of(const PlannedLaunch& launch) const {
    return plan_.memory_of[static_cast<size_t>(launch.device)];
  }
  Value base(Value value) const { return bases_[index(value)]; }
  NodeKind kind(Value value) const { return graph_.node(value).kind; }
  bool is_weight(Value value) const { return kind(base(value)) == NodeKind::weight; }

  /// The state that a value is a version or a view of, or -1.
  Value state_of(Value value) const {
    while (const auto alias = graph::alias_of(graph_, value)) value = *alias;
    return kind(value) == NodeKind::state ? value : Value{};
  }

  /// The memory of each value: its launch's; a state's is that of the launches that use it.
  void find_homes() {
    for (const PlannedLaunch& launch : plan_.launches) {
      const int memory = memory_of(launch);
      size_t i = index(launch.node);
      do {
        home_[i] = memory;
      } while (++i < graph_.nodes().size() && graph_.nodes()[i].kind == NodeKind::result);
      for (Value input : graph_.node(launch.node).inputs) {
        const Value state = state_of(input);
        if (state.id >= 0) home_[index(state)] = memory;
      }
    }
    for (size_t i = 0; i < home_.size(); ++i) {
      home_[i] = home_[index(base(value(i)))];
      const Value state = state_of(value(i));
      if (state.id >= 0) home_[i] = home_[index(state)];
    }
  }

  void read(Value value, int memory, int time) {
    int& last = last_[at(value, memory)];
    last = std::max(last, time);
  }

  /// A value that a slice of launches reads from another memory crosses before the slice, unless it has
  /// crossed for an earlier one.
  void find_transfers() {
    std::vector<bool> crossed(graph_.nodes().size() * places_, false);
    const auto cross = [&](Value value, int to, size_t before_launch, int time) {
      const int from = home_[index(value)];
      if (from == to || crossed[at(value, to)]) return;
      crossed[at(value, to)] = true;
      plan_.transfers.push_back(
          {.value = value, .from = from, .to = to, .before_launch = before_launch, .offset = 0});
      transfer_times_.push_back(time);
      read(value, from, time);
    };
    size_t slice = 0;
    for (size_t i = 0; i < plan_.launches.size(); ++i) {
      const PlannedLaunch& launch = plan_.launches[i];
      if (launch.device != plan_.launches[slice].device) slice = i;
      for (Value input : graph_.node(launch.node).inputs) {
        if (is_weight(input)) continue;
        const int memory = memory_of(launch);
        INGOT_CHECK(state_of(input).id < 0 || home_[index(base(input))] == memory,
                    "node {} reads a state of another device", launch.node.id);
        cross(base(input), memory, slice, plan_.launches[slice].node.id);
        read(base(input), memory, launch.node.id);
      }
    }
    for (const graph::Output& output : graph_.outputs()) {
      if (is_weight(output.value)) continue;
      cross(base(output.value), plan_.host, plan_.launches.size(), end_);
      read(base(output.value), plan_.host, kForever);
    }
  }

  int make_block(Value root, int memory, int first) {
    const size_t bytes = shape_of(graph_, root, plan_.bucket).bytes();
    blocks_.push_back({.memory = memory,
                       .root = root,
                       .last = std::max(first, last_[at(root, memory)]),
                       .lifetime = {.bytes = bytes, .first = first, .last = first}});
    return static_cast<int>(blocks_.size()) - 1;
  }

  /// Copies have storage of their own; an op's output too, unless it takes that of an input it reads last.
  void make_blocks() {
    size_t transfer = 0;
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      // Copies that cross before this node are there for its in-place rule to see.
      for (; transfer < plan_.transfers.size() && transfer_times_[transfer] <= static_cast<int>(i);
           ++transfer) {
        const Transfer& t = plan_.transfers[transfer];
        block_[at(t.value, t.to)] = make_block(t.value, t.to, transfer_times_[transfer]);
      }
      const Node& node = graph_.nodes()[i];
      const bool is_result = node.kind == NodeKind::result;
      if (!is_result && !is_launched(node)) continue;
      if (graph::alias_of(graph_, value(i))) continue;  // a state's new version
      const int memory = home_[i];
      int& block = block_[at(value(i), memory)];
      if (!is_result) block = input_to_overwrite(i, memory);
      if (block == kNowhere) {
        block = make_block(value(i), memory, is_result ? node.inputs[0].id : static_cast<int>(i));
      } else {
        int& last = blocks_[static_cast<size_t>(block)].last;
        last = std::max({last, last_[at(value(i), memory)], static_cast<int>(i)});
      }
    }
    for (; transfer < plan_.transfers.size(); ++transfer) {
      const Transfer& t = plan_.transfers[transfer];
      block_[at(t.value, t.to)] = make_block(t.value, t.to, end_);
    }
    for (Block& block : blocks_) block.lifetime.last = std::min(end_, block.last);
  }

  /// The block of an input that node i, its last reader, may write its output to.
  int input_to_overwrite(size_t i, int memory) const {
    const Node& node = graph_.nodes()[i];
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!node.op->in_place(static_cast<int>(k))) continue;
      const int block = block_[at(base(node.inputs[k]), memory)];
      if (block == kNowhere || blocks_[static_cast<size_t>(block)].last != static_cast<int>(i)) continue;
      // Another input of this node may not be a second view of the storage.
      const auto shares = [&](Value other) { return block_[at(base(other), memory)] == block; };
      if (std::count_if(node.inputs.begin(), node.inputs.end(), shares) != 1) continue;
      const size_t bytes = shape_of(graph_, value(i), plan_.bucket).bytes();
      if (bytes == blocks_[static_cast<size_t>(block)].lifetime.bytes) return block;
    }
    return kNowhere;
  }

  void place_blocks() {
    for (size_t memory = 0; memory < places_; ++memory) {
      std::vector<Lifetime> lifetimes;
      for (const Block& block : blocks_) {
        if (block.memory == static_cast<int>(memory)) lifetimes.push_back(block.lifetime);
      }
      plan_.bytes[memory].arena = place(lifetimes);
      plan_.bytes[memory].live = peak_live_bytes(lifetimes);
      size_t next = 0;
      for (Block& block : blocks_) {
        if (block.memory == static_cast<int>(memory)) block.lifetime = lifetimes[next++];
      }
    }
    const auto offset = [&](Value value, int memory) {
      return blocks_[static_cast<size_t>(block_[at(value, memory)])].lifetime.offset;
    };
    for (Transfer& transfer : plan_.transfers) transfer.offset = offset(transfer.value, transfer.to);
    for (size_t i = 0; i < graph_.nodes().size(); ++i) plan_.places.push_back(place_of(value(i), offset));
  }

  template <typename Offset>
  Place place_of(Value value, const Offset& offset) const {
    Place place{.kind = Place::Kind::arena, .memory = home_[index(value)], .offset = 0, .root = base(value)};
    if (const Value state = state_of(value); state.id >= 0) {
      place.kind = Place::Kind::state;
      place.root = state;
      return place;
    }
    switch (kind(place.root)) {
      case NodeKind::input:
        place.kind = Place::Kind::input;
        break;
      case NodeKind::weight:
        place.kind = Place::Kind::weight;
        break;
      default:
        place.offset = offset(place.root, place.memory);
        place.root = blocks_[static_cast<size_t>(block_[at(place.root, place.memory)])].root;
        break;
    }
    return place;
  }

  /// Weights and states of each device, and the memory of weights: that of their first reader.
  void count_residents() {
    std::vector<bool> counted(graph_.nodes().size() * places_, false);
    std::vector<bool> has_reader(graph_.nodes().size(), false);
    for (const PlannedLaunch& launch : plan_.launches) {
      DeviceBytes& bytes = plan_.bytes[static_cast<size_t>(launch.device)];
      bytes.workspace = std::max(bytes.workspace, launch.workspace_bytes);
      for (Value input : graph_.node(launch.node).inputs) {
        const Value state = state_of(input);
        const Value resident = state.id >= 0 ? state : base(input);
        if (state.id < 0 && !is_weight(input)) continue;
        if (counted[at(resident, launch.device)]) continue;
        counted[at(resident, launch.device)] = true;
        (state.id >= 0 ? bytes.states : bytes.weights) += shape_of(graph_, resident, plan_.bucket).bytes();
        if (state.id < 0 && !has_reader[index(resident)])
          plan_.places[index(resident)].memory = memory_of(launch);
        has_reader[index(resident)] = true;
      }
    }
  }

  void find_outputs_for_next() {
    for (size_t i = 0; i + 1 < plan_.launches.size(); ++i) {
      PlannedLaunch& launch = plan_.launches[i];
      const PlannedLaunch& next = plan_.launches[i + 1];
      launch.is_for_next = next.device == launch.device && !graph::alias_of(graph_, launch.node) &&
                           last_[at(launch.node, memory_of(launch))] == next.node.id;
    }
  }

  Plan& plan_;
  const Graph& graph_;
  size_t places_;             // devices, and host memory if it is a place of its own
  int end_;                   // the time after the last node
  std::vector<int> home_;     // by node: the memory of its bytes
  std::vector<int> block_;    // by (value, memory)
  std::vector<int> last_;     // by (value, memory): the last node that reads it there
  std::vector<Value> bases_;  // by node: viewed()
  std::vector<Block> blocks_;
  std::vector<int> transfer_times_;  // by transfer: the node it comes before
};

}  // namespace

void lay_out(Plan& plan) {
  Layout(plan).run();
  INGOT_CHECK(plan.places.size() == plan.graph->nodes().size(), "{} places for {} nodes", plan.places.size(),
              plan.graph->nodes().size());
}

}  // namespace ingot::exec
