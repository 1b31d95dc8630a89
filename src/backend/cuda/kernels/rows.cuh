// Rows of f32 spread over threads: what norms and softmax reduce and write again.
//
// How a row is spread follows from its width alone, and every sum has a fixed order: a row's bits depend
// neither on other rows nor on their number.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/kernels/values.cuh"

namespace ingot::cuda {

struct SumOf {
  __device__ float operator()(float a, float b) const { return __fadd_rn(a, b); }
  static constexpr float kNeutral = 0;
};
struct MaxOf {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
  static constexpr float kNeutral = -__builtin_huge_valf();
};

/// One value of each thread, combined by a tree; every thread of the warp gets the same bits.
template <class Combine>
__device__ __forceinline__ float combine_warp(float value, Combine combine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(~0U, value, distance));
  return value;
}

/// The same over the kThreads threads that share a row: a warp, or the whole block.
template <int kThreads, class Combine>
__device__ __forceinline__ float combine_threads(float value, Combine combine) {
  static_assert(kThreads % kWarp == 0 && kThreads <= kWarp * kWarp);
  value = combine_warp(value, combine);
  if constexpr (kThreads > kWarp) {
    constexpr int kWarps = kThreads / kWarp;
    __shared__ float of_warps[kWarps];
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    if (lane == 0) of_warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = combine_warp(lane < kWarps ? of_warps[lane] : Combine::kNeutral, combine);
    __syncthreads();  // everyone has read, the next call may write
  }
  return value;
}

/// How rows of one width are spread. kItems accesses of kVector values a thread hold a whole row in
/// registers; 0: the row is read again for every pass over it.
template <int kThreads_, int kItems_, int kVector_>
struct RowShape {
  static constexpr int kThreads = kThreads_;  // that share a row
  static constexpr int kItems = kItems_;
  static constexpr int kVector = kVector_;
  static constexpr int kBlock = kThreads == kWarp ? 8 * kWarp : kThreads;
  static constexpr int kRows = kBlock / kThreads;  // of a block
};

/// Calls f with the shape for rows of this width.
template <int kVector, class F>
void with_row_shape_of(int64_t width, F&& f) {
  const int64_t accesses = width / kVector;
  if (accesses <= 4 * 32) {
    f(RowShape<32, 4, kVector>());
  } else if (accesses <= 4 * 128) {
    f(RowShape<128, 4, kVector>());
  } else if (accesses <= 4 * 256) {
    f(RowShape<256, 4, kVector>());
  } else if (accesses <= 4 * 1024) {
    f(RowShape<1024, 4, kVector>());
  } else if (accesses <= 8 * 1024) {
    f(RowShape<1024, 8, kVector>());
  } else {
    f(RowShape<1024, 0, kVector>());
  }
}
template <class F>
void with_row_shape(int64_t width, F&& f) {
  if (width % 4 == 0) {  // every row is aligned to an access of four
    with_row_shape_of<4>(width, f);
  } else {
    with_row_shape_of<1>(width, f);
  }
}

template <class Shape>
unsigned row_blocks(int64_t rows) {
  return static_cast<unsigned>(divide_up(rows, Shape::kRows));
}

/// The row that a thread works at; it may lie behind the last one.
template <class Shape>
__device__ __forceinline__ int64_t row_of_thread() {
  return int64_t{blockIdx.x} * Shape::kRows + threadIdx.x / Shape::kThreads;
}

template <class Shape>
class Row {
 public:
  static constexpr int kVector = Shape::kVector;
  using Vector = Values<kVector>;

  __device__ Row(const float* values, int64_t width) : values_(values), accesses_(width / kVector) {
    if constexpr (Shape::kItems > 0) {
#pragma unroll
      for (int i = 0; i < Shape::kItems; ++i) {
        const int64_t at = access(i);
        if (at < accesses_) held_[i] = load_values<kVector>(values_ + at * kVector);
      }
    }
  }

  /// combine(… combine(combine(neutral, x0), x1) …) of a thread's values, then of the threads.
  template <class Combine, class Step>
  __device__ float reduce(Combine combine, Step step) const {
    float result = Combine::kNeutral;
    for_vectors([&](int64_t, const Vector& vector) {
#pragma unroll
      for (int k = 0; k < kVector; ++k) result = step(result, vector.at[k]);
    });
    return combine_threads<Shape::kThreads>(result, combine);
  }

  /// out[column …] = f(column, values), which may be the row itself.
  template <class F>
  __device__ void write(float* out, F f) const {
    for_vectors([&](int64_t column, const Vector& vector) {
      store_values<kVector>(out + column, f(column, vector));
    });
  }

 private:
  __device__ static int64_t access(int64_t item) {
    return item * Shape::kThreads + threadIdx.x % Shape::kThreads;
  }

  template <class F>
  __device__ void for_vectors(F f) const {
    if constexpr (Shape::kItems > 0) {
#pragma unroll
      for (int i = 0; i < Shape::kItems; ++i) {
        const int64_t at = access(i);
        if (at < accesses_) f(at * kVector, held_[i]);
      }
    } else {
      for (int64_t at = access(0); at < accesses_; at += Shape::kThreads)
        f(at * kVector, load_values<kVector>(values_ + at * kVector));
    }
  }

  const float* values_;
  int64_t accesses_;
  Vector held_[Shape::kItems > 0 ? Shape::kItems : 1];
};

}  // namespace ingot::cuda
