#include "backend/cuda/kernels/elementwise.h"

#include "backend/cuda/kernels/activations.cuh"
#include "backend/cuda/kernels/elementwise.cuh"

namespace ingot::cuda {
namespace {

struct GeluErf {
  __device__ float operator()(float x) const { return gelu_erf(x); }
};
struct GeluTanh {
  __device__ float operator()(float x) const { return gelu_tanh(x); }
};
struct Silu {
  __device__ float operator()(float x) const { return silu(x); }
};
struct Add {
  __device__ float operator()(float a, float b) const { return __fadd_rn(a, b); }
};
struct Mul {
  __device__ float operator()(float a, float b) const { return __fmul_rn(a, b); }
};

/// Stores f(i, values that load(i) gave) for the elements of this thread, which it reads before it writes.
template <int kAccessesOfThread, class Load, class F>
__device__ __forceinline__ void for_elements(int64_t elements, float* out, Load load, F f) {
  const int64_t block = int64_t{blockIdx.x} * kElementwiseThreads * kAccessesOfThread;
  decltype(load(int64_t{}, kVector)) values[kAccessesOfThread];
#pragma unroll
  for (int j = 0; j < kAccessesOfThread; ++j) {
    const int64_t first = (block + j * kElementwiseThreads + threadIdx.x) * kVector;
    if (first + kVector <= elements) values[j] = load(first, kVector);
  }
#pragma unroll
  for (int j = 0; j < kAccessesOfThread; ++j) {
    const int64_t first = (block + j * kElementwiseThreads + threadIdx.x) * kVector;
    if (first + kVector <= elements) {
      store_values<kVector>(out + first, f(values[j]));
    } else if (first < elements) {  // the last few
      const int count = static_cast<int>(elements - first);
      const Values<kVector> last = f(load(first, count));
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (i < count) out[first + i] = last.at[i];
      }
    }
  }
}

/// `count` values of an array, 1 to 4; a whole vector is aligned.
template <class T>
__device__ __forceinline__ Values<kVector> load_some(const T* from, int count) {
  if (count == kVector) return load_values<kVector>(from);
  return load_wrapped(0, kVector, count, [&](int64_t i) { return value_of(from[i]); });
}

template <int kAccessesOfThread, class F>
__global__ void __launch_bounds__(kElementwiseThreads) unary_kernel(Unary unary) {
  const auto load = [&](int64_t first, int count) { return load_some(unary.x + first, count); };
  for_elements<kAccessesOfThread>(unary.elements, unary.out, load, [](const Values<kVector>& x) {
    Values<kVector> y;
#pragma unroll
    for (int i = 0; i < kVector; ++i) y.at[i] = F()(x.at[i]);
    return y;
  });
}

/// How b lies beside a.
enum class Layout {
  same,       // b has a's size
  rows,       // b's row is a multiple of a vector
  scattered,  // any row: a vector of a meets values of b that may lie on both sides of its end
};

template <int kAccessesOfThread, Layout kLayout, class B, class F>
__global__ void __launch_bounds__(kElementwiseThreads) binary_kernel(Binary binary) {
  struct Pair {
    Values<kVector> a;
    Values<kVector> b;
  };
  const B* b = static_cast<const B*>(binary.b);
  const auto load = [&](int64_t first, int count) {
    Pair pair;
    pair.a = load_some(binary.a + first, count);
    if constexpr (kLayout == Layout::same) {
      pair.b = load_some(b + first, count);
    } else {
      const int64_t column = column_of(first, binary.row, binary.elements);
      if constexpr (kLayout == Layout::rows) {
        pair.b = load_some(b + column, count);
      } else {
        pair.b = load_wrapped(column, binary.row, count, [&](int64_t i) { return value_of(b[i]); });
      }
    }
    return pair;
  };
  for_elements<kAccessesOfThread>(binary.elements, binary.out, load, [](const Pair& x) {
    Values<kVector> y;
#pragma unroll
    for (int i = 0; i < kVector; ++i) y.at[i] = F()(x.a.at[i], x.b.at[i]);
    return y;
  });
}

template <class F>
void launch(const Gpu& gpu, const Unary& unary) {
  if (is_large(gpu, unary.elements)) {
    unary_kernel<kAccesses, F>
        <<<elementwise_blocks(unary.elements, kAccesses), kElementwiseThreads, 0, gpu.stream>>>(unary);
  } else {
    unary_kernel<1, F><<<elementwise_blocks(unary.elements, 1), kElementwiseThreads, 0, gpu.stream>>>(unary);
  }
}

template <int kAccessesOfThread, class B, class F>
void launch(const Gpu& gpu, const Binary& binary) {
  const unsigned blocks = elementwise_blocks(binary.elements, kAccessesOfThread);
  if (binary.row == binary.elements) {
    binary_kernel<kAccessesOfThread, Layout::same, B, F>
        <<<blocks, kElementwiseThreads, 0, gpu.stream>>>(binary);
  } else if (binary.row % kVector == 0) {
    binary_kernel<kAccessesOfThread, Layout::rows, B, F>
        <<<blocks, kElementwiseThreads, 0, gpu.stream>>>(binary);
  } else {
    binary_kernel<kAccessesOfThread, Layout::scattered, B, F>
        <<<blocks, kElementwiseThreads, 0, gpu.stream>>>(binary);
  }
}

template <class B, class F>
void launch_sized(const Gpu& gpu, const Binary& binary) {
  if (is_large(gpu, binary.elements)) {
    launch<kAccesses, B, F>(gpu, binary);
  } else {
    launch<1, B, F>(gpu, binary);
  }
}

template <class F>
void launch_typed(const Gpu& gpu, const Binary& binary) {
  switch (binary.b_dtype) {
    case DType::f16:
      launch_sized<dtype::F16, F>(gpu, binary);
      break;
    case DType::bf16:
      launch_sized<dtype::Bf16, F>(gpu, binary);
      break;
    default:
      launch_sized<float, F>(gpu, binary);
      break;
  }
}

}  // namespace

void run_unary(const Gpu& gpu, const Unary& unary) {
  if (unary.elements == 0) return;
  switch (unary.kind) {
    case UnaryKind::gelu_erf:
      launch<GeluErf>(gpu, unary);
      break;
    case UnaryKind::gelu_tanh:
      launch<GeluTanh>(gpu, unary);
      break;
    case UnaryKind::silu:
      launch<Silu>(gpu, unary);
      break;
  }
}

void run_binary(const Gpu& gpu, const Binary& binary) {
  if (binary.elements == 0) return;
  if (binary.kind == BinaryKind::add) {
    launch_typed<Add>(gpu, binary);
  } else {
    launch_typed<Mul>(gpu, binary);
  }
}

}  // namespace ingot::cuda
