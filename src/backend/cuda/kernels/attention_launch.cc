#include "backend/cuda/kernels/attention_launch.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"
#include "graph/ops/attention.h"

namespace ingot::cuda {

PagedAttention read_attention(const backend::Launch& launch) {
  const auto& op = static_cast<const graph::AttentionOp&>(*launch.op);
  const graph::Tensor& q = launch.inputs[0];
  const graph::Tensor& keys = launch.inputs[1];
  const graph::Tensor& block_table = launch.inputs[5];
  const auto small = [](int64_t length) {
    INGOT_CHECK(length >= 0 && length <= std::numeric_limits<int>::max(), "attention: a length of {}",
                length);
    return static_cast<int>(length);
  };
  const auto page_tokens = static_cast<uint64_t>(keys.shape[2]);
  return {.q = q.f32(),
          .keys = keys.f32(),
          .values = launch.inputs[2].f32(),
          .seq_start = launch.inputs[3].i32(),
          .context_len = launch.inputs[4].i32(),
          .block_table = block_table.i32(),
          .out = launch.output.as<float>(),
          .rows = small(q.shape[0]),
          .sequences = small(launch.inputs[4].shape[0]),
          .pages = small(block_table.shape[1]),
          .page_tokens = small(keys.shape[2]),
          .page_shift = std::has_single_bit(page_tokens) ? std::countr_zero(page_tokens) : -1,
          .heads = small(q.shape[1]),
          .kv_heads = small(keys.shape[1]),
          .head_dim = small(q.shape[2]),
          // No position lies beyond what an int holds: a larger window is none.
          .window = static_cast<int>(op.window() <= std::numeric_limits<int>::max() ? op.window() : 0),
          .scale = op.scale()};
}

int most_keys(const PagedAttention& attention) {
  const int64_t context = int64_t{attention.pages} * attention.page_tokens;
  const int64_t seen = attention.window > 0 ? std::min<int64_t>(context, attention.window) : context;
  return static_cast<int>(std::min<int64_t>(seen, std::numeric_limits<int>::max()));
}

}  // namespace ingot::cuda
