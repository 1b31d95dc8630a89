// The ops of the graph API: each makes a value from values of one graph. Part of graph.h.
//
// Shapes stand in brackets; "…" is any number of dimensions, even none; "weight type" is f32, f16 or bf16,
// decoded to f32 as it is read. Results are f32 where nothing else is said. Every op throws
// Error{invalid_argument}, named after the op, for values that are empty or of different graphs, other ranks,
// types or lengths than it says, and results of more than 2^40 elements.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ingot/value.h"

namespace ingot {

/// a + b, a * b, element by element. a: f32 [… , d0 … dn]; b: a weight type [d0 … dn], repeated over a's
/// leading dimensions: an array of a's shape, a row, a scalar. The two may stand in either order. Returns a's
/// shape.
Value add(const Value& a, const Value& b);
Value mul(const Value& a, const Value& b);
/// The same with a constant.
Value add(const Value& a, float b);
Value mul(const Value& a, float b);
inline Value operator+(const Value& a, const Value& b) {
  return add(a, b);
}
inline Value operator+(const Value& a, float b) {
  return add(a, b);
}
inline Value operator+(float a, const Value& b) {
  return add(b, a);
}
inline Value operator*(const Value& a, const Value& b) {
  return mul(a, b);
}
inline Value operator*(const Value& a, float b) {
  return mul(a, b);
}
inline Value operator*(float a, const Value& b) {
  return mul(b, a);
}

/// Matrix product. a: f32 [batch …, M, K]; b: f32 [batch …, K, N], or [K, N] for all of a's batch. Returns
/// [batch …, M, N]. Where b is a constant [K, N], or the transpose of a constant [N, K], this is linear():
/// the weight may then be f16 or bf16, and fusion knows it.
Value matmul(const Value& a, const Value& b);

/// How the weight of a linear lies in memory.
enum class WeightOrder : uint8_t {
  out_in,  // [out, in], as torch.nn.Linear has it
  in_out,  // [in, out], as it stands in x W
};
/// x W^T + bias (out_in) or x W + bias (in_out). x: f32 [… , in]; weight: a weight type in `order`; bias: a
/// weight type [out]. Returns [… , out].
Value linear(const Value& x, const Value& weight, const std::optional<Value>& bias = std::nullopt,
             WeightOrder order = WeightOrder::out_in);

/// x Phi(x), Phi by the error function. x: f32 of any shape, which is returned.
Value gelu(const Value& x);
/// The approximation by tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
Value gelu_tanh(const Value& x);
/// x sigmoid(x). x: f32 of any shape.
Value silu(const Value& x);
/// exp(x) / sum of exp(x) over the last dimension. x: f32 [… , n].
Value softmax(const Value& x);

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension. x: f32 [… , n]; weight: a weight type [n].
/// Errors: also for an eps that is negative or not finite.
Value rms_norm(const Value& x, const Value& weight, float eps = 1e-5F);
/// (x - mean) / sqrt(variance + eps) * weight + bias over the last dimension. x: f32 [… , n]; weight, bias: a
/// weight type [n]. Errors: as for rms_norm().
Value layer_norm(const Value& x, const Value& weight, const Value& bias, float eps = 1e-5F);

/// Rows of a table. ids: i32 [n]; table: a weight type [rows, width]. Returns [n, width]. Ids must lie in [0,
/// rows): run() checks every element of the inputs that ids come from, and refuses others.
Value embedding(const Value& ids, const Value& table);

/// The same elements in the same order under another shape; costs nothing. x: any type. Errors: also for
/// another number of elements.
Value reshape(const Value& x, const std::vector<Dim>& dims);
/// The dimensions in another order: dimension i of the result is dimension order[i] of x. x: any type.
/// Errors: also for an order that is no permutation of 0 … rank-1.
Value transpose(const Value& x, const std::vector<int>& order);
/// The elements [begin, end) of a dimension of fixed length; a negative axis counts from the last. x: any
/// type.
Value slice(const Value& x, int axis, int64_t begin, int64_t end);
/// Joined along one dimension; a negative axis counts from the last. values: one or more of one type and
/// rank, equal in every other dimension.
Value concat(const std::vector<Value>& values, int axis);

/// How rotary frequencies are stretched for longer contexts.
struct RopeScaling {
  enum class Kind : uint8_t { none, linear, llama3, yarn };
  Kind kind = Kind::none;
  double theta = 10000;
  double factor = 1;               // linear, llama3, yarn: positions or frequencies are divided by it
  double low_freq_factor = 1;      // llama3
  double high_freq_factor = 4;     // llama3
  int64_t original_positions = 0;  // llama3, yarn: context length of the original training
  double beta_fast = 32;           // yarn
  double beta_slow = 1;            // yarn
  bool truncate = true;            // yarn: round the ramp's ends to whole dimensions
  double attention_factor = 1;     // yarn: cosines and sines are multiplied by it
};
/// Cosines, then sines, of the rotary angles of each position. positions: i32 [n]. Returns [n, rotary_dims].
/// Errors: also for a rotary_dims that is odd or not positive, and a scaling outside its range.
Value rope_table(const Value& positions, int64_t rotary_dims, const RopeScaling& scaling = {});

/// Which dimensions of a head form a pair.
enum class RopeStyle : uint8_t {
  half,         // (i, i + rotary_dims/2), as Hugging Face's llama has it
  interleaved,  // (2i, 2i + 1), as the paper has it
};
/// Rotates the first rotary_dims dimensions of each head by the table's angles. x: f32 [n, heads, head_dim];
/// table: f32 [n, rotary_dims], rotary_dims <= head_dim. Returns x's shape.
Value rope(const Value& x, const Value& table, RopeStyle style = RopeStyle::half);

/// New rows into a cache. cache: a state f32 [pages, kv_heads, page_tokens, head_dim], or its newest version;
/// x: f32 [n, kv_heads, head_dim]; slots: i32 [n], page x page_tokens + place in the page. Returns the
/// cache's new version, which readers must take from now on: compile() refuses an older one. Slots must lie
/// in [0, pages x page_tokens), as run() checks; where two are equal the later row stays.
Value kv_write(const Value& cache, const Value& x, const Value& slots);

/// Which rows and pages belong to which sequence: inputs or constants, checked by run().
struct AttentionStep {
  Value
      seq_start;  // i32 [sequences + 1]: rows seq_start[s] … seq_start[s+1]-1 are sequence s's; never falling
  Value context_len;  // i32 [sequences]: tokens of the sequence in the cache, this run's rows included
  Value block_table;  // i32 [sequences, most pages]: the sequence's pages in order; each entry is a page
};
struct AttentionOptions {
  std::optional<float> scale;  // none: 1 / sqrt(head_dim)
  int64_t window = 0;          // positions that a row sees, its own included; 0: all before it
};
/// Causal softmax(q k^T scale) v of each row over its sequence's tokens in the cache. q: f32 [n, heads,
/// head_dim]; keys, values: caches after kv_write(), kv_heads dividing heads. Returns f32 [n, heads,
/// head_dim]; rows of no sequence are zero. Errors: also for a step that is not of inputs and constants, and
/// a negative window.
Value attention(const Value& q, const Value& keys, const Value& values, const AttentionStep& step,
                const AttentionOptions& options = {});

}  // namespace ingot
