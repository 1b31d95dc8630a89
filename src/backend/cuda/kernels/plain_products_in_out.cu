// Products of f32 rows with weights of single values in the order [in, out] (GPT-2's), multiplied and added
// in f32.
//
// A block of threads has 16 outputs, next to each other in memory, and 16 chains of sums for each: chain c
// takes every 16th run of 8 values of `in`, and the chains are added up in their order. That depends on `in`
// alone; the rows of a block share what is read of the weight.
#include "backend/cuda/kernels/plain_products.cuh"
#include "backend/cuda/kernels/weight_octets.cuh"

namespace ingot::cuda {
namespace {

constexpr int kOutputs = 16;
constexpr int kChains = 16;
constexpr int kThreads = kOutputs * kChains;

/// kWhole: rows of x are whole octets.
template <class Octets, int kRows, bool kWhole>
__global__ void __launch_bounds__(kThreads) multiply_in_out(const PlainProduct p) {
  const int own = static_cast<int>(threadIdx.x) % kOutputs;
  const int chain = static_cast<int>(threadIdx.x) / kOutputs;
  const int64_t output = int64_t{blockIdx.x} * kOutputs + own;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  const int64_t column = min(output, p.out - 1);  // what is not there is read as the last one
  const auto row = [&](int r) { return p.x + min(first_row + r, p.rows - 1) * p.in; };

  float sums[kRows] = {};
#pragma unroll 2
  for (int64_t k = chain * kOctet; k < p.in; k += kChains * kOctet) {
    float weights[kOctet];
#pragma unroll
    for (int i = 0; i < kOctet; ++i)
      weights[i] = kWhole || k + i < p.in ? Octets::at(p.weight, (k + i) * p.out + column) : 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[kOctet];
      if constexpr (kWhole) {
        OctetsOf<float>::read(row(r) + k, 0, x);
      } else {
#pragma unroll
        for (int i = 0; i < kOctet; ++i) x[i] = k + i < p.in ? row(r)[k + i] : 0;
      }
#pragma unroll
      for (int i = 0; i < kOctet; ++i) sums[r] = __fmaf_rn(x[i], weights[i], sums[r]);
    }
  }

  __shared__ float all[kChains][kRows][kOutputs];
#pragma unroll
  for (int r = 0; r < kRows; ++r) all[chain][r][own] = sums[r];
  __syncthreads();
  const int r = chain;  // from here on, a thread an output of a row
  if (r >= kRows || output >= p.out || first_row + r >= p.rows) return;
  float sum = all[0][r][own];
  for (int i = 1; i < kChains; ++i) sum += all[i][r][own];
  p.sums[(first_row + r) * p.stride + output] = sum;
}

template <class Octets, int kRows, bool kWhole>
void launch(const Gpu& gpu, const PlainProduct& product) {
  static_assert(kRows <= kChains);
  for_row_blocks(product, kRows, [&](const PlainProduct& part, unsigned row_blocks) {
    const dim3 grid(static_cast<unsigned>(divide_up(part.out, kOutputs)), row_blocks);
    multiply_in_out<Octets, kRows, kWhole><<<grid, kThreads, 0, gpu.stream>>>(part);
  });
}

template <class T>
void launch_in_out(const Gpu& gpu, const PlainProduct& product) {
  if (product.in % kOctet != 0) return launch<OctetsOf<T>, 8, false>(gpu, product);
  if (product.rows == 1) return launch<OctetsOf<T>, 1, true>(gpu, product);
  return launch<OctetsOf<T>, 8, true>(gpu, product);
}

}  // namespace

void run_plain_in_out(const Gpu& gpu, const PlainProduct& product) {
  switch (product.dtype) {
    case DType::f32:
      return launch_in_out<float>(gpu, product);
    case DType::f16:
      return launch_in_out<dtype::F16>(gpu, product);
    case DType::bf16:
      return launch_in_out<dtype::Bf16>(gpu, product);
    case DType::f8_e4m3:
      return launch_in_out<dtype::F8E4M3>(gpu, product);
    default:
      return;  // blocks lie along the outputs' rows: they have no such order
  }
}

}  // namespace ingot::cuda
