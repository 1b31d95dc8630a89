// What attention's kernels share: the operands of a launch, and where a sequence's keys and values lie.
//
// Views of the launch's memory; they own nothing.
#pragma once

#include <algorithm>

#include "backend/backend.h"
#include "graph/ops/attention.h"

namespace ingot::cpu {

/// One sequence's keys and values of one key head.
struct CacheRows {
  const float* keys;  // [C, kv_heads, page_tokens, head_dim], offset to the head
  const float* values;
  const int32_t* pages;  // the sequence's row of the block table
  int64_t page_tokens;
  int64_t page_stride;  // floats from a page to the next: kv_heads * page_tokens * head_dim
  int64_t head_dim;

  int64_t offset(int64_t position) const {
    return pages[position / page_tokens] * page_stride + position % page_tokens * head_dim;
  }
};

/// The shapes and step inputs of one launch.
struct Attention {
  explicit Attention(const backend::Launch& launch)
      : op(static_cast<const graph::AttentionOp&>(*launch.op)),
        q(launch.inputs[0]),
        keys(launch.inputs[1]),
        values(launch.inputs[2]),
        block_table(launch.inputs[5]),
        seq_start(launch.inputs[3].i32()),
        context_len(launch.inputs[4].i32()),
        out(launch.output.as<float>()),
        sequences(launch.inputs[4].shape[0]),
        heads(q.shape[1]),
        head_dim(q.shape[2]),
        kv_heads(keys.shape[1]),
        group(heads / kv_heads) {}

  CacheRows rows(int64_t sequence, int64_t kv_head) const {
    const int64_t page_tokens = keys.shape[2];
    const int64_t head_offset = kv_head * page_tokens * head_dim;
    return {.keys = keys.f32() + head_offset,
            .values = values.f32() + head_offset,
            .pages = block_table.i32() + sequence * block_table.shape[1],
            .page_tokens = page_tokens,
            .page_stride = kv_heads * page_tokens * head_dim,
            .head_dim = head_dim};
  }
  int64_t sequence_of(int64_t row) const {
    int64_t sequence = 0;
    while (seq_start[sequence + 1] <= row) ++sequence;
    return sequence;
  }
  int64_t position(int64_t sequence, int64_t row) const {
    return context_len[sequence] - (seq_start[sequence + 1] - row);
  }
  int64_t first_key(int64_t position) const {
    return op.window() > 0 ? std::max<int64_t>(0, position - op.window() + 1) : 0;
  }
  const float* query(int64_t row, int64_t kv_head) const {
    return q.f32() + (row * heads + kv_head * group) * head_dim;
  }
  float* output(int64_t row, int64_t kv_head) const {
    return out + (row * heads + kv_head * group) * head_dim;
  }
  /// Rows that pad the step belong to no sequence: they are zero.
  void clear_padding() const {
    const int64_t end = seq_start[sequences];
    std::fill(out + end * heads * head_dim, out + q.shape[0] * heads * head_dim, 0.0F);
  }

  const graph::AttentionOp& op;
  const graph::Tensor& q;
  const graph::Tensor& keys;
  const graph::Tensor& values;
  const graph::Tensor& block_table;
  const int32_t* seq_start;
  const int32_t* context_len;
  float* out;
  int64_t sequences;
  int64_t heads;
  int64_t head_dim;
  int64_t kv_heads;
  int64_t group;  // query heads of a key head
};

}  // namespace ingot::cpu
