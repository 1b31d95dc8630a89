// What a block needs to finish a head of one row, brought to shared memory while it waits for other things:
// the norm's weights, the rotation, and where the head is written.
#pragma once

#include "backend/cuda/kernels/linear_heads.cuh"

namespace ingot::cuda {

inline constexpr int kUsualNormedHead = 128;  // values

/// Of heads of at most kMost values, by all threads of a block: begin(), rotation(), keep_rotation(), a
/// barrier.
template <int kMost>
struct HeadParameters {
  float norm[kMost];
  float table[kMost];  // cosines, then sines

  /// Before the kernel's inputs are there: of queries, then keys, then values. Returns where the head is
  /// written: of q_out, or of the cache; less than 0: nowhere.
  __device__ int64_t begin(const LinearHeads& h, int head) {
    const int heads = static_cast<int>(h.heads);
    const int kv_heads = static_cast<int>(h.kv_heads);
    const int dim = static_cast<int>(h.head_dim);
    if (head < heads + kv_heads) {
      const FloatRow& weights = head < heads ? h.q_norm : h.k_norm;
      for (int i = static_cast<int>(threadIdx.x); i < dim; i += static_cast<int>(blockDim.x))
        norm[i] = weights.data == nullptr ? 1 : load_float(weights, i);
    }
    if (head < heads) return int64_t{head} * dim;
    return place_in_cache(h, 0, head - heads - (head < heads + kv_heads ? 0 : kv_heads));
  }
  /// This thread's value of the rotation, behind it. No block has fewer threads than there are values.
  __device__ float rotation(const LinearHeads& h) const {
    const bool has_one = h.table != nullptr && static_cast<int>(threadIdx.x) < 2 * static_cast<int>(h.pairs);
    return has_one ? h.table[threadIdx.x] : 0;
  }
  __device__ void keep_rotation(float value) {
    if (threadIdx.x < kMost) table[threadIdx.x] = value;
  }
  /// The head whose products are at `from`, by a warp.
  /// kIsUsual: heads of kUsualNormedHead values, all rotated half against half.
  template <bool kIsUsual>
  __device__ void place(const LinearHeads& h, int head, const float* from, int64_t at) const {
    if (at < 0) return;
    const bool is_query = head < h.heads;
    if (head >= h.heads + h.kv_heads) {
      for (int i = static_cast<int>(threadIdx.x) % kWarp; i < h.head_dim; i += kWarp)
        h.values[at + i] = from[i];
      return;
    }
    float* const to = (is_query ? h.q_out : h.keys) + at;
    LinearHeads own = h;
    if constexpr (kIsUsual) {
      own.table = table;
      return rotate_whole_head<kUsualNormedHead>(own, 0, from, to, {norm, DType::f32});
    }
    if (h.table != nullptr) own.table = table;
    rotate_head(own, 0, from, to, {norm, DType::f32});
  }
};

}  // namespace ingot::cuda
