#include "graph/ops/linear_qkv.h"

#include <fmt/format.h>

#include "graph/ops/kv_write.h"
#include "graph/ops/reshape.h"
#include "graph/ops/rms_norm.h"
#include "graph/ops/slice.h"

namespace ingot::graph {

std::string LinearQkvOp::attributes() const {
  std::string text = to_string(form_.norm);
  const auto say = [&](std::string_view part) { text += (text.empty() ? "" : ", ") + std::string(part); };
  say(fmt::format("{} of {} heads x {}", form_.heads, form_.kv_heads, form_.head_dim));
  if (form_.is_joint) say("joint");
  if (form_.order == WeightOrder::in_out) say("weight=in_out");
  if (form_.has_bias) say("bias");
  if (form_.head_norm_eps) say(fmt::format("head rms_norm eps={}", *form_.head_norm_eps));
  if (form_.rope) say(*form_.rope == RopeStyle::half ? "rope half" : "rope interleaved");
  return text;
}

std::vector<Value> LinearQkvOp::decompose(Graph& graph, std::span<const Value> inputs) const {
  const auto input = [&](int index) { return inputs[static_cast<size_t>(index)]; };
  const Value x = append_norm(graph, inputs[0], inputs.subspan(1), form_.norm);
  const Dim tokens = graph.type(x).dim(0);
  const auto product = [&](size_t part) {
    std::optional<Value> bias;
    if (form_.has_bias) bias = input(form_.bias_input(part));
    return linear(graph, x, input(form_.weight_input(part)), bias, form_.order);
  };
  Value q;
  Value k;
  Value v;
  if (form_.is_joint) {
    const Value all = product(0);
    const int64_t k_end = form_.q_width() + form_.kv_width();
    q = slice(graph, all, 1, 0, form_.q_width());
    k = slice(graph, all, 1, form_.q_width(), k_end);
    v = slice(graph, all, 1, k_end, k_end + form_.kv_width());
  } else {
    q = product(0);
    k = product(1);
    v = product(2);
  }
  const auto heads = [&](Value rows, int64_t count) {
    return reshape(graph, rows, {tokens, count, form_.head_dim});
  };
  const auto place = [&](Value rows, int64_t count, int norm) {
    Value split = heads(rows, count);
    if (form_.head_norm_eps) split = rms_norm(graph, split, input(norm), *form_.head_norm_eps);
    if (form_.rope) split = rope(graph, split, input(form_.table_input()), *form_.rope);
    return split;
  };
  const Value placed_q = place(q, form_.heads, form_.head_norm_input());
  const Value placed_k = place(k, form_.kv_heads, form_.head_norm_input() + 1);
  const Value slots = input(form_.slots_input());
  const Value keys = kv_write(graph, input(form_.keys_input()), placed_k, slots);
  const Value values = kv_write(graph, input(form_.values_input()), heads(v, form_.kv_heads), slots);
  return {placed_q, keys, values};
}

}  // namespace ingot::graph
