// Products of f32 rows with weights of any type in the order [out, in], multiplied and added in f32: what has
// no faster kernel. The other order is in plain_products_in_out.cu.
//
// A warp has a few outputs and a few rows, of which each lane takes every 32nd octet of values; each of its
// sums is then the lanes' in the order of a tree. That order depends on `in` alone: how many outputs and rows
// a warp has, which is what saves reading and decoding, changes nothing.
#include <algorithm>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/plain_products.cuh"
#include "backend/cuda/kernels/weight_octets.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = 8;
constexpr unsigned kAllLanes = 0xffffffffU;

/// An octet of a row of any width, zeros behind its end.
template <class T>
__device__ void read_ragged(OctetsOf<T>, const void* values, int64_t first, int64_t last,
                            float (&octet)[kOctet]) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) octet[i] = first + i < last ? OctetsOf<T>::at(values, first + i) : 0;
}

/// kRows, kOutputs: of a warp. kWhole: rows are whole octets.
template <class Octets, int kRows, int kOutputs, bool kWhole>
__global__ void __launch_bounds__(kWarps* kWarp) multiply_out_in(const PlainProduct p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first_output = (int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp) * kOutputs;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  if (first_output >= p.out) return;
  // Rows and outputs that are not there are read as the last one; their sums go nowhere.
  const auto row = [&](int r) { return min(first_row + r, p.rows - 1); };
  const auto output = [&](int n) { return min(first_output + n, p.out - 1); };

  float sums[kRows][kOutputs] = {};
  const int64_t octets = (p.in + kOctet - 1) / kOctet;
  for (int64_t i = lane; i < octets; i += kWarp) {
    float weights[kOutputs][kOctet];
#pragma unroll
    for (int n = 0; n < kOutputs; ++n) {
      if constexpr (kWhole) {
        Octets::read(p.weight, output(n) * octets + i, weights[n]);
      } else {
        read_ragged(Octets{}, p.weight, output(n) * p.in + i * kOctet, (output(n) + 1) * p.in, weights[n]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[kOctet];
      if constexpr (kWhole) {
        OctetsOf<float>::read(p.x, row(r) * octets + i, x);
      } else {
        read_ragged(OctetsOf<float>{}, p.x, row(r) * p.in + i * kOctet, (row(r) + 1) * p.in, x);
      }
#pragma unroll
      for (int n = 0; n < kOutputs; ++n) {
#pragma unroll
        for (int j = 0; j < kOctet; ++j) sums[r][n] = __fmaf_rn(x[j], weights[n][j], sums[r][n]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int n = 0; n < kOutputs; ++n) {
      float sum = sums[r][n];
#pragma unroll
      for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
      if (lane == 0 && first_row + r < p.rows && first_output + n < p.out)
        p.sums[(first_row + r) * p.stride + first_output + n] = sum;
    }
  }
}

template <class Octets, int kRows, int kOutputs, bool kWhole>
void launch(const Gpu& gpu, const PlainProduct& product) {
  for_row_blocks(product, kRows, [&](const PlainProduct& part, unsigned row_blocks) {
    const dim3 grid(static_cast<unsigned>(divide_up(part.out, kWarps * kOutputs)), row_blocks);
    multiply_out_in<Octets, kRows, kOutputs, kWhole><<<grid, kWarps * kWarp, 0, gpu.stream>>>(part);
  });
}

template <class T>
void launch_out_in(const Gpu& gpu, const PlainProduct& product, OctetsOf<T>) {
  if (product.in % kOctet != 0) return launch<OctetsOf<T>, 8, 2, false>(gpu, product);
  if (product.rows == 1) return launch<OctetsOf<T>, 1, 2, true>(gpu, product);
  if (product.rows <= 4) return launch<OctetsOf<T>, 4, 2, true>(gpu, product);
  return launch<OctetsOf<T>, 8, 4, true>(gpu, product);
}
template <class Block>
void launch_out_in(const Gpu& gpu, const PlainProduct& product, OctetsOfBlocks<Block>) {
  if (product.rows == 1) return launch<OctetsOfBlocks<Block>, 1, 1, true>(gpu, product);
  return launch<OctetsOfBlocks<Block>, 8, 2, true>(gpu, product);
}

}  // namespace

void run_plain_product(const Gpu& gpu, const PlainProduct& product) {
  if (product.rows == 0 || product.out == 0) return;
  if (product.is_in_out) return run_plain_in_out(gpu, product);
  with_octets(product.dtype, [&](auto octets) { launch_out_in(gpu, product, octets); });
}

}  // namespace ingot::cuda
