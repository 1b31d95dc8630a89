// Products of f32 rows with weights of any type, multiplied and added in f32: what has no faster kernel.
#include "backend/cuda/kernels/block_products.h"
#include "dtype/formats.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kRows = 8;  // of a block: each weight is decoded once for all of them
constexpr unsigned kAllLanes = 0xffffffffU;

template <typename T>
struct Single {
  static __device__ float at(const void* weight, int64_t i) {
    return dtype::decode(static_cast<const T*>(weight)[i]);
  }
};
template <typename Block>
struct InBlocks {
  static __device__ float at(const void* weight, int64_t i) {
    return dtype::decode(static_cast<const Block*>(weight)[i / Block::kElements],
                         static_cast<int>(i % Block::kElements));
  }
};

/// Weight [out, in]: a warp an output, its lanes share out `in`; a row's sum is the lanes' in the order of a
/// tree.
template <typename Values>
__global__ void out_in(const PlainProduct p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t n = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int64_t first = int64_t{blockIdx.y} * kRows;
  if (n >= p.out) return;
  const int rows = static_cast<int>(p.rows - first < kRows ? p.rows - first : kRows);
  float sums[kRows] = {};
  for (int64_t k = lane; k < p.in; k += kWarp) {
    const float w = Values::at(p.weight, n * p.in + k);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < rows) sums[r] = fmaf(p.x[(first + r) * p.in + k], w, sums[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) sums[r] += __shfl_xor_sync(kAllLanes, sums[r], step);
    if (lane == 0 && r < rows) p.sums[(first + r) * p.stride + n] = sums[r];
  }
}

/// Weight [in, out]: a thread an output.
template <typename Values>
__global__ void in_out(const PlainProduct p) {
  const int64_t n = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t first = int64_t{blockIdx.y} * kRows;
  if (n >= p.out) return;
  const int rows = static_cast<int>(p.rows - first < kRows ? p.rows - first : kRows);
  float sums[kRows] = {};
  for (int64_t k = 0; k < p.in; ++k) {
    const float w = Values::at(p.weight, k * p.out + n);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < rows) sums[r] = fmaf(p.x[(first + r) * p.in + k], w, sums[r]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (r < rows) p.sums[(first + r) * p.stride + n] = sums[r];
  }
}

template <typename Values>
void launch(const Gpu& gpu, PlainProduct product) {
  // More rows than a grid has: in several launches.
  constexpr int64_t kMostRows = int64_t{65535} * kRows;
  for (int64_t done = 0; done < product.rows; done += kMostRows) {
    PlainProduct part = product;
    part.rows = product.rows - done < kMostRows ? product.rows - done : kMostRows;
    part.x += done * product.in;
    part.sums += done * product.stride;
    const auto row_blocks = static_cast<unsigned>(divide_up(part.rows, kRows));
    if (product.is_in_out) {
      const dim3 grid(static_cast<unsigned>(divide_up(product.out, kThreads)), row_blocks);
      in_out<Values><<<grid, kThreads, 0, gpu.stream>>>(part);
    } else {
      const dim3 grid(static_cast<unsigned>(divide_up(product.out, kWarps)), row_blocks);
      out_in<Values><<<grid, kThreads, 0, gpu.stream>>>(part);
    }
  }
}

}  // namespace

void run_plain_product(const Gpu& gpu, const PlainProduct& product) {
  if (product.rows == 0 || product.out == 0) return;
  switch (product.dtype) {
    case DType::f32:
      return launch<Single<float>>(gpu, product);
    case DType::f16:
      return launch<Single<dtype::F16>>(gpu, product);
    case DType::bf16:
      return launch<Single<dtype::Bf16>>(gpu, product);
    case DType::f8_e4m3:
      return launch<Single<dtype::F8E4M3>>(gpu, product);
    default:
      dtype::with_blocks(product.dtype, product.weight,
                         [&]<typename Block>(const Block*) { launch<InBlocks<Block>>(gpu, product); });
  }
}

}  // namespace ingot::cuda
