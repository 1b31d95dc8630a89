// Rows of keys (or values) into their slots of the paged cache.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct KvWrite {
  const float* x = nullptr;        // [rows, heads, head_dim]
  const int32_t* slots = nullptr;  // [rows]: page * page_tokens + place in the page
  float* cache = nullptr;          // [pages, heads, page_tokens, head_dim]
  int64_t rows = 0;
  int heads = 0;
  int head_dim = 0;
  int page_tokens = 0;
};
void run_kv_write(const Gpu& gpu, const KvWrite& write);

}  // namespace ingot::cuda
