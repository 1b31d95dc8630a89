#include "api/graph_checks.h"

#include <set>

#include "base/check.h"

namespace ingot::api {
namespace {

using graph::NodeKind;
using graph::Tensor;

std::string_view kind_name(NodeKind kind) {
  return kind == NodeKind::weight ? "constant" : kind == NodeKind::state ? "state" : "input";
}

std::string described(const graph::Graph& graph, graph::Value source) {
  const graph::Node& node = graph.node(source);
  return fmt::format("{} '{}'", kind_name(node.kind), node.name);
}

void check_range(const graph::Graph& graph, const IndexRange& range, const Tensor& tensor) {
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const int64_t index = tensor.i32()[i];
    if (index >= 0 && index < range.end) continue;
    fail(ErrorCode::invalid_argument, "{}: expected elements of {} in [0, {}), found {} at element {}",
         range.reader, described(graph, range.source), range.end, index, i);
  }
}

void check_attention(const graph::Graph& graph, const AttentionCheck& check, const graph::DimValues& dims,
                     const std::function<Tensor(graph::Value)>& tensor_of) {
  const Tensor start = tensor_of(check.seq_start);
  const Tensor context = tensor_of(check.context_len);
  const Tensor table = tensor_of(check.block_table);
  const int64_t rows = check.rows.bind(dims);
  const int64_t sequences = context.elements();
  const int64_t most = table.shape[1] * check.page_tokens;
  int64_t last = 0;
  for (int64_t s = 0; s <= sequences; ++s) {
    const int64_t next = start.i32()[s];
    if (next < last || next > rows) {
      fail(ErrorCode::invalid_argument,
           "attention: seq_start: expected {} to rise from 0 to at most {}, found {} after {}",
           described(graph, check.seq_start), rows, next, last);
    }
    if (s > 0 && (context.i32()[s - 1] < next - last || context.i32()[s - 1] > most)) {
      fail(ErrorCode::invalid_argument,
           "attention: context_len: expected element {} of {} to count {} (its rows) to {} tokens (its "
           "pages), found {}",
           s - 1, described(graph, check.context_len), next - last, most, context.i32()[s - 1]);
    }
    last = next;
  }
}

}  // namespace

void RunChecks::add_range(const graph::Graph& graph, graph::Value op, graph::Value value, int64_t end,
                          const std::string& reader) {
  // Integers reach an op through ops that move elements, and through those only: to each source that they
  // read.
  std::vector<graph::Value> waiting{value};
  std::set<int32_t> seen;
  std::vector<IndexRange> found;
  while (!waiting.empty()) {
    const graph::Value next = waiting.back();
    waiting.pop_back();
    if (!seen.insert(next.id).second) continue;
    const graph::Node& node = graph.node(next);
    if (node.kind == NodeKind::op) {
      waiting.insert(waiting.end(), node.inputs.begin(), node.inputs.end());
      continue;
    }
    const IndexRange range{op, next, end, reader};
    if (node.kind == NodeKind::weight) {
      check_range(graph, range,
                  {const_cast<std::byte*>(node.weight.raw()), node.weight.dtype(), node.weight.shape()});
    } else {
      found.push_back(range);
    }
  }
  ranges.insert(ranges.end(), found.begin(), found.end());
}

RunChecks RunChecks::moved_to(const std::vector<graph::Value>& moved) const {
  const auto at = [&](graph::Value value) { return moved[static_cast<size_t>(value.id)]; };
  RunChecks result;
  for (IndexRange range : ranges) {
    if (at(range.op).id < 0) continue;
    range.op = at(range.op);
    range.source = at(range.source);
    result.ranges.push_back(std::move(range));
  }
  for (AttentionCheck check : attentions) {
    if (at(check.op).id < 0) continue;
    for (graph::Value* value : {&check.op, &check.seq_start, &check.context_len, &check.block_table})
      *value = at(*value);
    result.attentions.push_back(check);
  }
  return result;
}

void RunChecks::run(const graph::Graph& graph, const graph::DimValues& dims,
                    const std::function<Tensor(graph::Value)>& tensor_of) const {
  for (const IndexRange& range : ranges) check_range(graph, range, tensor_of(range.source));
  for (const AttentionCheck& check : attentions) check_attention(graph, check, dims, tensor_of);
}

}  // namespace ingot::api
