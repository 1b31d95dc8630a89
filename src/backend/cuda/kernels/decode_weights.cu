// Weights of any type as bf16 or f32, for the library's matrix products: eight values a thread at a time.
#include <cuda_bf16.h>

#include <algorithm>

#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/weight_octets.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;

__device__ void write(float value, float* to) {
  *to = value;
}
__device__ void write(float value, __nv_bfloat16* to) {
  *to = __float2bfloat16_rn(value);
}
__device__ void write_octet(const float (&values)[kOctet], float* to) {
  auto* quads = reinterpret_cast<float4*>(to);
  quads[0] = {values[0], values[1], values[2], values[3]};
  quads[1] = {values[4], values[5], values[6], values[7]};
}
__device__ void write_octet(const float (&values)[kOctet], __nv_bfloat16* to) {
  struct alignas(16) Octet {
    __nv_bfloat162 pairs[4];
  } octet;
#pragma unroll
  for (int i = 0; i < 4; ++i) octet.pairs[i] = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
  *reinterpret_cast<Octet*>(to) = octet;
}

/// count and begin are multiples of an octet.
template <class Octets, class To>
__global__ void __launch_bounds__(kThreads) decode_octets(const Decoding d) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < d.count / kOctet; i += step) {
    float values[kOctet];
    Octets::read(d.weight, d.begin / kOctet + i, values);
    write_octet(values, static_cast<To*>(d.values) + i * kOctet);
  }
}

/// Single values, wherever they begin and end.
template <class Octets, class To>
__global__ void __launch_bounds__(kThreads) decode_values(const Decoding d) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < d.count; i += step)
    write(Octets::at(d.weight, d.begin + i), static_cast<To*>(d.values) + i);
}

template <class To, class T>
void launch(const Gpu& gpu, const Decoding& decoding, OctetsOf<T>) {
  const bool in_octets = decoding.begin % kOctet == 0 && decoding.count % kOctet == 0;
  const int64_t items = in_octets ? decoding.count / kOctet : decoding.count;
  const auto blocks =
      static_cast<unsigned>(std::min(divide_up(items, kThreads), int64_t{gpu.multiprocessors} * 32));
  const auto kernel = in_octets ? decode_octets<OctetsOf<T>, To> : decode_values<OctetsOf<T>, To>;
  kernel<<<blocks, kThreads, 0, gpu.stream>>>(decoding);
}
template <class To, class Block>
void launch(const Gpu& gpu, const Decoding& decoding, OctetsOfBlocks<Block>) {
  const auto blocks = static_cast<unsigned>(
      std::min(divide_up(decoding.count / kOctet, kThreads), int64_t{gpu.multiprocessors} * 32));
  decode_octets<OctetsOfBlocks<Block>, To><<<blocks, kThreads, 0, gpu.stream>>>(decoding);
}

}  // namespace

void run_decode(const Gpu& gpu, const Decoding& decoding) {
  if (decoding.count == 0) return;
  with_octets(decoding.dtype, [&](auto octets) {
    if (decoding.as_f32) {
      launch<float>(gpu, decoding, octets);
    } else {
      launch<__nv_bfloat16>(gpu, decoding, octets);
    }
  });
}

}  // namespace ingot::cuda
