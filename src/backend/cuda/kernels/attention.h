// Attention over the paged cache: the arguments that its kernels share, and how a row's keys are split.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Causal softmax(q k^T * scale) v. Query head h reads key head h / (heads / kv_heads).
struct PagedAttention {
  const float* q = nullptr;              // [rows, heads, head_dim]
  const float* keys = nullptr;           // [C, kv_heads, page_tokens, head_dim]
  const float* values = nullptr;         // likewise
  const int32_t* seq_start = nullptr;    // [sequences + 1]
  const int32_t* context_len = nullptr;  // [sequences]
  const int32_t* block_table = nullptr;  // [sequences, pages]
  float* out = nullptr;                  // [rows, heads, head_dim]; rows of no sequence: zero
  uint16_t* out_bf16 = nullptr;          // the same rounded, for the linear behind it; null: not wanted
  int rows = 0;
  int sequences = 0;
  int pages = 0;
  int page_tokens = 0;
  int page_shift = -1;  // page_tokens is 2^page_shift; -1: it is no power of two
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int window = 0;  // positions that a query sees, itself included; 0: all
  float scale = 1;
};

/// Softmaxes in progress, one for each piece of a row's keys.
struct SplitSums {
  float* mixed = nullptr;   // [rows, heads, most_splits, head_dim]: values under weights relative to exp(max)
  float2* stats = nullptr;  // [rows, heads, most_splits]: the maximum of the scores, and the sum of weights
  int most_splits = 1;
};

/// Keys of a piece for a row that sees `keys` of them. By this, and so by the row's keys and the model's
/// heads alone, the order of a row's sums is fixed. Few keys are one piece, which needs no joining; then come
/// kJoinedAtOnce pieces, which the blocks of a cluster may join without a detour through memory; then as many
/// as keep every team of threads of a large device busy with one row. Between the two a team's keys may be
/// some more, rather than a ninth piece that a kernel of its own joins: with heads of 128, steps of one row
/// and of 16 take 3 and 7 % less time so (8B, 1,100 keys, H200), with heads of 64 one row's takes longer;
/// others were not tried.
inline constexpr int kJoinedAtOnce = 8;
__host__ __device__ constexpr int most_joined_keys(const PagedAttention& a) {
  return kJoinedAtOnce * (a.head_dim == 128 ? 160 : 128);
}
__host__ __device__ constexpr int most_pieces(int kv_heads) {
  return kJoinedAtOnce * (kv_heads >= 8 ? 8 : kv_heads >= 4 ? 16 : 32);
}
__host__ __device__ constexpr int split_keys(const PagedAttention& a, int keys) {
  if (keys <= 32) return 32;
  if (keys <= most_joined_keys(a)) return ((keys - 1) / kJoinedAtOnce) / 16 * 16 + 16;
  const int each = (keys - 1) / most_pieces(a.kv_heads) / 32 * 32 + 32;
  return each < 128 ? 128 : each;
}
__host__ __device__ constexpr int splits_of(const PagedAttention& a, int keys) {
  return static_cast<int>(static_cast<unsigned>(keys - 1) / static_cast<unsigned>(split_keys(a, keys))) + 1;
}
/// No row of at most `keys` keys has more pieces.
constexpr int most_splits(const PagedAttention& a, int keys) {
  if (keys <= 32) return 1;
  if (keys <= most_joined_keys(a)) return kJoinedAtOnce;
  return (keys - 1) / 128 + 1 < most_pieces(a.kv_heads) ? (keys - 1) / 128 + 1 : most_pieces(a.kv_heads);
}

/// Whether run_attention_decode() writes out_bf16 for heads of this width.
bool rounds_output(const PagedAttention& attention);
/// Rows of generated tokens. `sums` are not used where most_splits is 1.
void run_attention_decode(const Gpu& gpu, const PagedAttention& attention, const SplitSums& sums);

/// Rows of prompts on tensor cores: both products' operands rounded to tf32.
bool has_tf32_attention(int64_t head_dim);
void run_attention_tf32(const Gpu& gpu, const PagedAttention& attention);

/// The same on Hopper (sm_90a), where products take operands in f16. Keys and values are first brought to f16
/// in the workspace, each row scaled by a power of two, so that rounding is all that is lost. Where
/// most_bytes do not hold what all sequences see, some sequences and key heads take their turn at a time,
/// which changes no bits. The workspace has at most most_bytes, or what one sequence and key head need: 4
/// bytes for each number of the longest context, in whole tiles of 128 keys, and 1152 for each tile.
constexpr int64_t kF16AttentionBytes = int64_t{128} << 20;
bool has_f16_attention(const Gpu& gpu, int64_t head_dim);
size_t f16_attention_workspace(const PagedAttention& attention, int64_t most_bytes = kF16AttentionBytes);
void run_attention_f16(const Gpu& gpu, const PagedAttention& attention, void* workspace,
                       int64_t most_bytes = kF16AttentionBytes);

/// Any head_dim, in f32, slowly; run_attention_decode() uses it where it has nothing better. Without `sums`
/// a row's keys are not split.
void run_attention_any(const Gpu& gpu, const PagedAttention& attention, const SplitSums* sums);

/// out = the pieces of each row joined in order, right behind run_attention_any().
void run_attention_join(const Gpu& gpu, const PagedAttention& attention, const SplitSums& sums);

}  // namespace ingot::cuda
