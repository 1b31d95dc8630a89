// What follows the products of linear_qkv: the norm of each query and key head, rotary positions, and the
// write of keys and values into the paged cache.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/linear_operands.h"

namespace ingot::cuda {

struct LinearHeads {
  // The products, f32: row r of the queries at q + r * q_stride. q may be q_out.
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  FloatRow q_norm = {};  // [head_dim], of rms_norm; both or none
  FloatRow k_norm = {};
  float norm_eps = 0;

  const float* table = nullptr;  // [rows, 2 * pairs]: cosines, then sines; null: no rotation
  int64_t pairs = 0;
  bool is_interleaved = false;  // pairs (2i, 2i + 1), else (i, i + pairs)

  const int32_t* slots = nullptr;  // [rows]: page * page_tokens + place in the page
  float* q_out = nullptr;          // [rows, heads, head_dim]
  float* keys = nullptr;           // [pages, kv_heads, page_tokens, head_dim]
  float* values = nullptr;
  int64_t pages = 0;
  int64_t page_tokens = 0;
};
/// Whether all of a head is rotated, or nothing.
inline bool rotates_whole_heads(const LinearHeads& heads) {
  return heads.table == nullptr || 2 * heads.pairs == heads.head_dim;
}
void run_linear_heads(const Gpu& gpu, const LinearHeads& heads);

}  // namespace ingot::cuda
