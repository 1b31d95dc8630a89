// Weights of any type as bf16 or f32, for the library's matrix products.
#include "backend/cuda/kernels/block_products.h"
#include "dtype/formats.h"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEach = 8;  // values of a thread, which lie in one block of every format

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

template <typename Values, bool as_f32>
__global__ void decode_all(const Decoding d) {
  const int64_t stride = int64_t{gridDim.x} * kThreads * kEach;
  for (int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEach; first < d.count;
       first += stride) {
    const int values = static_cast<int>(d.count - first < kEach ? d.count - first : kEach);
    for (int i = 0; i < values; ++i) {
      const float value = Values::at(d.weight, d.begin + first + i);
      if constexpr (as_f32) {
        static_cast<float*>(d.values)[first + i] = value;
      } else {
        static_cast<dtype::Bf16*>(d.values)[first + i] = dtype::encode_bf16(value);
      }
    }
  }
}

template <typename Values>
void launch(const Gpu& gpu, const Decoding& decoding) {
  const int64_t needed = divide_up(decoding.count, int64_t{kThreads} * kEach);
  const int64_t most = int64_t{gpu.multiprocessors} * 32;
  const auto blocks = static_cast<unsigned>(needed < most ? needed : most);
  if (decoding.as_f32) {
    decode_all<Values, true><<<blocks, kThreads, 0, gpu.stream>>>(decoding);
  } else {
    decode_all<Values, false><<<blocks, kThreads, 0, gpu.stream>>>(decoding);
  }
}

}  // namespace

void run_decode(const Gpu& gpu, const Decoding& decoding) {
  if (decoding.count == 0) return;
  switch (decoding.dtype) {
    case DType::f32:
      return launch<Single<float>>(gpu, decoding);
    case DType::f16:
      return launch<Single<dtype::F16>>(gpu, decoding);
    case DType::bf16:
      return launch<Single<dtype::Bf16>>(gpu, decoding);
    case DType::f8_e4m3:
      return launch<Single<dtype::F8E4M3>>(gpu, decoding);
    default:
      dtype::with_blocks(decoding.dtype, decoding.weight,
                         [&]<typename Block>(const Block*) { launch<InBlocks<Block>>(gpu, decoding); });
  }
}

}  // namespace ingot::cuda
