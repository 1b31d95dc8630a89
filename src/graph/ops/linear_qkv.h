// linear_qkv: everything before attention in one op: the norm, the three products, the norm of each head,
// rotary positions, and the write into the KV cache.
//
//   x ─ [norm] ─┬─ Wq ─ heads ─ [rms_norm] ─ [rope] ─ output q
//               ├─ Wk ─ heads ─ [rms_norm] ─ [rope] ─ kv_write ─ result 0: the keys' new version
//               └─ Wv ─ heads ───────────────────────── kv_write ─ result 1: the values' new version
#pragma once

#include "graph/fused_op.h"
#include "graph/ops/linear.h"
#include "graph/ops/norm_prologue.h"
#include "graph/ops/rope.h"

namespace ingot::graph {

struct QkvForm {
  NormPrologue norm = {};
  WeightOrder order = WeightOrder::out_in;
  bool is_joint = false;  // one weight holds q, then k, then v (GPT-2); else three
  bool has_bias = false;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  std::optional<float> head_norm_eps = {};  // rms_norm of each query and key head (Qwen3)
  std::optional<RopeStyle> rope = {};

  size_t parts() const { return is_joint ? 1 : 3; }
  // Where each operand stands among the inputs: x, the norm's, weight and bias of each part, the head norms'
  // weights (q, k), the rope table, slots, keys, values.
  int norm_input() const { return 1; }
  int weight_input(size_t part) const {
    return 1 + norm.inputs() + static_cast<int>(part) * (has_bias ? 2 : 1);
  }
  int bias_input(size_t part) const { return weight_input(part) + 1; }
  int head_norm_input() const { return weight_input(parts()); }
  int table_input() const { return head_norm_input() + (head_norm_eps ? 2 : 0); }
  int slots_input() const { return table_input() + (rope ? 1 : 0); }
  int keys_input() const { return slots_input() + 1; }
  int values_input() const { return slots_input() + 2; }
  int inputs() const { return slots_input() + 3; }

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
  friend bool operator==(const QkvForm&, const QkvForm&) = default;
};

class LinearQkvOp final : public FusedOp {
 public:
  explicit LinearQkvOp(const QkvForm& form) : form_(form) {}
  const QkvForm& form() const { return form_; }

  std::string_view name() const override { return "linear_qkv"; }
  std::string attributes() const override;
  std::vector<Value> decompose(Graph& graph, std::span<const Value> inputs) const override;

 protected:
  size_t input_count() const override { return static_cast<size_t>(form_.inputs()); }

 private:
  QkvForm form_;
};

}  // namespace ingot::graph
