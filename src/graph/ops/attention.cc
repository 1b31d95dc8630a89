#include "graph/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"

namespace ingot::graph {

std::string AttentionOp::attributes() const {
  return fmt::format("scale={}{}", scale_, window_ > 0 ? fmt::format(", window={}", window_) : "");
}

TensorType AttentionOp::infer(std::span<const TensorType> inputs) const {
  expect_inputs(*this, inputs, 6, 6);
  expect_rank(*this, "q", inputs[0], 3);
  expect_dtype(*this, "q", inputs[0], DType::f32);
  for (size_t i = 1; i < 3; ++i) {
    const std::string_view what = i == 1 ? "the key cache" : "the value cache";
    expect_rank(*this, what, inputs[i], 4);
    expect_dtype(*this, what, inputs[i], DType::f32);
    expect_dim(*this, what, inputs[i].dim(3), inputs[0].dim(2));
  }
  if (inputs[1] != inputs[2]) {
    fail(ErrorCode::invalid_argument, "attention: expected a value cache like the key cache {}, found {}",
         to_string(inputs[1]), to_string(inputs[2]));
  }
  const int64_t heads = inputs[0].dim(1).extent();
  const int64_t kv_heads = inputs[1].dim(1).extent();
  if (kv_heads <= 0 || heads % kv_heads != 0) {
    fail(ErrorCode::invalid_argument, "attention: expected kv_heads to divide {} heads, found {}", heads,
         kv_heads);
  }
  expect_rank(*this, "seq_start", inputs[3], 1);
  expect_rank(*this, "context_len", inputs[4], 1);
  expect_rank(*this, "block_table", inputs[5], 2);
  for (size_t i = 3; i < 6; ++i) expect_dtype(*this, "step inputs", inputs[i], DType::i32);
  expect_dim(*this, "seq_start's length", inputs[3].dim(0), inputs[4].dim(0) + Dim(1));
  expect_dim(*this, "block_table's rows", inputs[5].dim(0), inputs[4].dim(0));
  return inputs[0];
}

/// Counted for full contexts (every page of the block table), the upper bound that shapes can tell.
Cost AttentionOp::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  const double page_tokens = static_cast<double>(inputs[1].shape[2]);
  const double context = static_cast<double>(inputs[5].shape[1]) * page_tokens;
  const double kv_row_bytes = static_cast<double>(inputs[1].shape[1] * inputs[1].shape[3]) *
                              static_cast<double>(dtype_bytes(inputs[1].dtype));
  const double io = static_cast<double>(output.bytes());
  return {.flops = 4 * static_cast<double>(output.elements()) * context,
          .bytes_read = io + 2 * static_cast<double>(inputs[4].shape[0]) * context * kv_row_bytes,
          .bytes_written = io};
}

void AttentionOp::reference(std::span<const Tensor> inputs, const Tensor& output) const {
  const Tensor& q = inputs[0];
  const int64_t heads = q.shape[1];
  const int64_t head_dim = q.shape[2];
  const int64_t kv_heads = inputs[1].shape[1];
  const int64_t page_tokens = inputs[1].shape[2];
  const int32_t* seq_start = inputs[3].i32();
  std::vector<double> mixed(static_cast<size_t>(head_dim));  // sum of weight x value
  std::fill_n(output.as<float>(), output.elements(), 0.0F);
  for (int64_t s = 0; s < inputs[4].shape[0]; ++s) {
    const int32_t* pages = inputs[5].i32() + s * inputs[5].shape[1];
    for (int64_t t = seq_start[s]; t < seq_start[s + 1]; ++t) {
      const int64_t position = inputs[4].i32()[s] - (seq_start[s + 1] - t);
      const int64_t first = window_ > 0 ? std::max<int64_t>(0, position - window_ + 1) : 0;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv_head = h / (heads / kv_heads);
        const auto row = [&](const Tensor& cache, int64_t p) {
          return cache.f32() +
                 ((pages[p / page_tokens] * kv_heads + kv_head) * page_tokens + p % page_tokens) * head_dim;
        };
        const float* query = q.f32() + (t * heads + h) * head_dim;
        const auto score = [&](int64_t p) {
          double dot = 0;
          for (int64_t d = 0; d < head_dim; ++d) dot += static_cast<double>(query[d]) * row(inputs[1], p)[d];
          return dot * scale_;
        };
        double max = -std::numeric_limits<double>::infinity();
        for (int64_t p = first; p <= position; ++p) max = std::max(max, score(p));
        double sum = 0;
        std::fill(mixed.begin(), mixed.end(), 0.0);
        for (int64_t p = first; p <= position; ++p) {
          const double weight = std::exp(score(p) - max);
          sum += weight;
          for (size_t d = 0; d < mixed.size(); ++d) mixed[d] += weight * row(inputs[2], p)[d];
        }
        float* out = output.as<float>() + (t * heads + h) * head_dim;
        for (size_t d = 0; d < mixed.size(); ++d) out[d] = static_cast<float>(mixed[d] / sum);
      }
    }
  }
}

Value attention(Graph& graph, Value q, Value keys, Value values, const AttentionInputs& step, float scale,
                int64_t window, std::string label) {
  if (window < 0) fail(ErrorCode::invalid_argument, "attention: expected a window >= 0, found {}", window);
  return graph.append(std::make_shared<AttentionOp>(scale, window),
                      {q, keys, values, step.seq_start, step.context_len, step.block_table},
                      std::move(label));
}

}  // namespace ingot::graph
