#include "fuse/rewriter.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace ingot::fuse {

using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Value;

namespace {

size_t index(Value value) {
  return static_cast<size_t>(value.id);
}
Value value_of(size_t node) {
  return {static_cast<int32_t>(node)};
}

/// By node: the nodes that must run before it. Its inputs, and for one that writes a state all readers of the
/// version that it overwrites.
std::vector<std::vector<int32_t>> orders(const Graph& graph) {
  std::vector<std::vector<int32_t>> before(graph.nodes().size());
  std::vector<int32_t> storage(graph.nodes().size());
  std::map<int32_t, std::vector<int32_t>> readers;  // of each state's newest version
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const auto id = static_cast<int32_t>(i);
    for (Value input : node.inputs) before[i].push_back(input.id);
    const auto alias = alias_of(graph, value_of(i));
    storage[i] = alias ? storage[index(*alias)] : id;
    const bool writes = alias && (node.kind == NodeKind::result || node.op->writes_alias());
    if (writes) {
      // A result is written by its op.
      const auto writer = node.kind == NodeKind::result ? index(node.inputs[0]) : i;
      for (int32_t reader : readers[storage[i]]) {
        if (reader != static_cast<int32_t>(writer)) before[writer].push_back(reader);
      }
      readers[storage[i]].clear();
    }
    if (node.kind != NodeKind::op) continue;
    for (Value input : node.inputs) {
      const int32_t root = storage[index(input)];
      if (graph.nodes()[static_cast<size_t>(root)].kind == NodeKind::state) readers[root].push_back(id);
    }
  }
  return before;
}

}  // namespace

Rewriter::Rewriter(const Graph& graph)
    : graph_(graph),
      before_(orders(graph)),
      after_begin_(graph.nodes().size() + 1, 0),
      reads_(graph.nodes().size(), 0),
      group_(graph.nodes().size(), kNone),
      taken_(graph.nodes().size(), false),
      dropped_(graph.nodes().size(), false) {
  const size_t count = graph.nodes().size();
  for (const auto& earlier : before_) {
    for (int32_t node : earlier) ++after_begin_[static_cast<size_t>(node) + 1];
  }
  for (size_t i = 0; i < count; ++i) after_begin_[i + 1] += after_begin_[i];
  after_.resize(static_cast<size_t>(after_begin_[count]));
  std::vector<int32_t> next(after_begin_.begin(), after_begin_.end() - 1);
  for (size_t i = 0; i < count; ++i) {
    for (int32_t node : before_[i])
      after_[static_cast<size_t>(next[static_cast<size_t>(node)]++)] = static_cast<int32_t>(i);
    forward_.push_back(static_cast<int32_t>(i));
    if (graph.nodes()[i].kind != NodeKind::op) continue;
    for (Value input : graph.nodes()[i].inputs) ++reads_[index(input)];
  }
  for (const graph::Output& output : graph.outputs()) ++reads_[index(output.value)];
}

std::span<const int32_t> Rewriter::after(size_t node) const {
  const auto begin = static_cast<size_t>(after_begin_[node]);
  return {after_.data() + begin, static_cast<size_t>(after_begin_[node + 1]) - begin};
}

int Rewriter::readers(Value value) const {
  return reads_[index(value)];
}

std::optional<Value> Rewriter::sole_reader(Value value) const {
  if (reads_[index(value)] != 1) return std::nullopt;
  for (int32_t node : after(index(value))) {
    const Node& reader = graph_.nodes()[static_cast<size_t>(node)];
    if (reader.kind != NodeKind::op) continue;
    const auto& inputs = reader.inputs;
    if (std::find(inputs.begin(), inputs.end(), value) != inputs.end()) return Value{node};
  }
  return std::nullopt;  // an output reads it
}

std::vector<int32_t> Rewriter::with_results(const std::vector<Value>& members) const {
  std::vector<int32_t> nodes;
  for (Value member : members) {
    nodes.push_back(member.id);
    for (size_t i = index(member) + 1;
         i < graph_.nodes().size() && graph_.nodes()[i].kind == NodeKind::result; ++i)
      nodes.push_back(static_cast<int32_t>(i));
  }
  return nodes;
}

/// Whether a way leads from a member over nodes outside back to a member, where nodes that were replaced
/// before count as one.
bool Rewriter::makes_cycle(const std::vector<int32_t>& members) const {
  std::vector<bool> seen(graph_.nodes().size(), false);
  std::vector<bool> is_member(graph_.nodes().size(), false);
  for (int32_t member : members) is_member[static_cast<size_t>(member)] = true;
  std::vector<int32_t> waiting;
  const auto visit = [&](int32_t node) {
    const int32_t group = group_of(static_cast<size_t>(node));
    const auto enter = [&](int32_t each) {
      if (seen[static_cast<size_t>(each)]) return;
      seen[static_cast<size_t>(each)] = true;
      waiting.push_back(each);
    };
    if (group == kNone) {
      enter(node);
    } else {
      for (int32_t each : group_members_[static_cast<size_t>(group)]) enter(each);
    }
  };
  for (int32_t member : members) {
    for (int32_t next : after(static_cast<size_t>(member))) {
      if (!is_member[static_cast<size_t>(next)]) visit(next);
    }
  }
  while (!waiting.empty()) {
    const int32_t node = waiting.back();
    waiting.pop_back();
    for (int32_t next : after(static_cast<size_t>(node))) {
      if (is_member[static_cast<size_t>(next)]) return true;
      visit(next);
    }
  }
  return false;
}

bool Rewriter::replace(Replacement replacement) {
  const std::vector<int32_t> nodes = with_results(replacement.members);
  const auto is_in = [](const auto& list, auto item) {
    return std::find(list.begin(), list.end(), item) != list.end();
  };
  int with_readers_outside = 0;
  for (int32_t node : nodes) {
    if (taken_[static_cast<size_t>(node)]) return false;
    bool read_outside = false;
    int reads_inside = 0;
    for (int32_t next : after(static_cast<size_t>(node))) {
      if (!is_in(nodes, next)) read_outside = true;
    }
    for (int32_t other : nodes) {
      const Node& reader = graph_.nodes()[static_cast<size_t>(other)];
      if (reader.kind != NodeKind::op) continue;
      reads_inside += static_cast<int>(std::count(reader.inputs.begin(), reader.inputs.end(), Value{node}));
    }
    if (reads_inside < readers({node})) {
      read_outside = true;
      if (!is_in(replacement.outputs, Value{node})) return false;
    }
    with_readers_outside += read_outside ? 1 : 0;
  }
  // With one way out, a way back in would have been a cycle before.
  if (with_readers_outside > 1 && makes_cycle(nodes)) return false;
  const auto group = static_cast<int32_t>(replacements_.size());
  for (int32_t node : nodes) {
    group_[static_cast<size_t>(node)] = group;
    taken_[static_cast<size_t>(node)] = true;
  }
  group_members_.push_back(nodes);
  replacements_.push_back(std::move(replacement));
  ++rewrites_;
  return true;
}

void Rewriter::forward(Value from, Value to) {
  INGOT_CHECK(to.id < from.id && graph_.type(from) == graph_.type(to), "node {} cannot stand in for node {}",
              to.id, from.id);
  forward_[index(from)] = forward_[index(to)];
  reads_[index(to)] += reads_[index(from)];
  reads_[index(from)] = 0;
  taken_[index(from)] = true;
  ++rewrites_;
}

void Rewriter::drop(Value node) {
  dropped_[index(node)] = true;
  taken_[index(node)] = true;
  ++rewrites_;
}

Graph Rewriter::finish() const {
  Graph result;
  const size_t count = graph_.nodes().size();
  std::vector<Value> mapped(count);  // old to new
  std::vector<bool> is_done(count, false);
  const auto stand_in = [&](Value value) { return Value{forward_[index(value)]}; };

  // Emits a node, or the op that replaced it, after everything it needs.
  const auto emit = [&](const auto& self, size_t i) -> void {
    if (is_done[i] || dropped_[i]) return;
    const int32_t group = group_[i];
    if (group == kNone && graph_.nodes()[i].kind == NodeKind::result) {
      self(self, index(graph_.nodes()[i].inputs[0]));  // brings its results along
      return;
    }
    const std::vector<int32_t> alone{static_cast<int32_t>(i)};
    const std::vector<int32_t>& nodes = group == kNone ? alone : group_members_[static_cast<size_t>(group)];
    for (int32_t node : nodes) is_done[static_cast<size_t>(node)] = true;
    const auto need = [&](Value value) { self(self, index(stand_in(value))); };
    for (int32_t node : nodes) {
      for (int32_t earlier : before_[static_cast<size_t>(node)]) need({earlier});
    }
    if (group == kNone) {
      std::vector<Value> inputs;
      for (Value input : graph_.nodes()[i].inputs) inputs.push_back(mapped[index(stand_in(input))]);
      mapped[i] = result.copy(graph_.nodes()[i], std::move(inputs));
      for (size_t k = i + 1; k < count && graph_.nodes()[k].kind == NodeKind::result; ++k) {
        const Node& further = graph_.nodes()[k];
        const Value alias = further.alias.id < 0 ? Value{} : mapped[index(stand_in(further.alias))];
        mapped[k] = result.copy(further, {mapped[i]}, alias);
        is_done[k] = true;
      }
      return;
    }
    const Replacement& replacement = replacements_[static_cast<size_t>(group)];
    std::vector<Value> inputs;
    for (Value input : replacement.inputs) {
      need(input);
      inputs.push_back(mapped[index(stand_in(input))]);
    }
    std::string label;
    for (Value member : replacement.members) {
      if (label.empty()) label = graph_.node(member).name;
    }
    result.set_layer(graph_.node(replacement.members.back()).layer);
    const Value op = result.append(replacement.op, std::move(inputs), std::move(label));
    result.set_layer(graph::kNoLayer);
    for (size_t k = 0; k < replacement.outputs.size(); ++k) {
      const Value now = k == 0 ? op : result.result(op, static_cast<int>(k) - 1);
      INGOT_CHECK(result.type(now) == graph_.type(replacement.outputs[k]), "{} has another type than node {}",
                  replacement.op->name(), replacement.outputs[k].id);
      mapped[index(replacement.outputs[k])] = now;
    }
  };

  for (size_t i = 0; i < count; ++i) {
    if (dropped_[i] || forward_[i] != static_cast<int32_t>(i)) continue;
    // A replacement waits for its last member, unless somebody needs it earlier.
    const int32_t group = group_[i];
    if (group != kNone && group_members_[static_cast<size_t>(group)].back() != static_cast<int32_t>(i) &&
        std::any_of(group_members_[static_cast<size_t>(group)].begin(),
                    group_members_[static_cast<size_t>(group)].end(),
                    [&](int32_t node) { return node > static_cast<int32_t>(i); }))
      continue;
    emit(emit, i);
  }
  for (const graph::Output& output : graph_.outputs())
    result.output(output.name, mapped[index(stand_in(output.value))]);
  return result;
}

}  // namespace ingot::fuse
