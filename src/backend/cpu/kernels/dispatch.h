// From run-time types to kernel templates, and how rows are shared out to threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/cpu_backend.h"
#include "base/check.h"
#include "graph/tensor.h"

namespace ingot::cpu {

/// Calls f with a typed pointer to a weight tensor of single values: const float*, const dtype::F16*, const
/// dtype::Bf16* or const dtype::F8E4M3*.
template <class F>
void with_weight(const graph::Tensor& tensor, F&& f) {
  switch (tensor.dtype) {
    case DType::f32:
      f(tensor.as<const float>());
      return;
    case DType::f16:
      f(tensor.as<const dtype::F16>());
      return;
    case DType::bf16:
      f(tensor.as<const dtype::Bf16>());
      return;
    case DType::f8_e4m3:
      f(tensor.as<const dtype::F8E4M3>());
      return;
    default:
      INGOT_CHECK(false, "a kernel got a weight of type {}", to_string(tensor.dtype));
  }
}

/// What a kernel's threads do when nothing is left for them: ask for the weights that they read next, as far
/// as kernels ask ahead (decode_products-inl.h), since the first requests of a stream are waited for.
inline constexpr uintptr_t kWeightsAhead = 16384;
inline void prefetch_next_weights(const backend::Backend& backend, int thread) {
  const void* weights = static_cast<const CpuBackend&>(backend).next_weights(thread);
  if (weights == nullptr) return;
  // As a number: the weights may end before.
  const auto first = reinterpret_cast<uintptr_t>(weights);
  for (uintptr_t at = 0; at < kWeightsAhead; at += 64)
    __builtin_prefetch(reinterpret_cast<const void*>(first + at), /*write=*/0, /*locality=*/2);
}

/// Elements below which waking threads costs more than it saves (measured: a fork-join takes about 1 us).
inline constexpr int64_t kSerialElements = 16384;

/// parallel_for over `count` items of `item_elements` elements each, on the caller alone for small work.
template <class F>
void parallel_items(ThreadPool& pool, int64_t count, int64_t item_elements, F&& f) {
  if (count <= 0) return;
  const int64_t per_chunk = std::max<int64_t>(1, kSerialElements / std::max<int64_t>(1, item_elements));
  const int64_t even = (count + pool.threads() - 1) / pool.threads();
  pool.parallel_for(count, std::max(per_chunk, std::min(even, per_chunk * 8)), f);
}

}  // namespace ingot::cpu
