#include "backend/cuda/kernels/embedding.h"

#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/values.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = 128;

/// Values [column, column + kVector) of a row of blocks; a block is a multiple of kVector.
template <int kVector, class Block>
__device__ Values<kVector> decode_blocks(const Block* table, int64_t row, int64_t width, int64_t column) {
  const Block& block = table[row * (width / Block::kElements) + column / Block::kElements];
  const auto first = static_cast<int>(column % Block::kElements);
  Values<kVector> values;
#pragma unroll
  for (int i = 0; i < kVector; ++i) values.at[i] = dtype::decode(block, first + i);
  return values;
}

/// A block has kThreads times kVector columns of one row.
template <int kVector>
__global__ void __launch_bounds__(kThreads)
    embedding_kernel(const Embedding embedding, const unsigned pieces) {
  begin_next_kernel();
  wait_for_inputs();
  const int64_t r = blockIdx.x / pieces;
  const int64_t column = (int64_t{blockIdx.x % pieces} * kThreads + threadIdx.x) * kVector;
  if (column >= embedding.width) return;
  const int64_t row = embedding.ids[r];
  Values<kVector> values;
#pragma unroll
  for (int i = 0; i < kVector; ++i) values.at[i] = __int_as_float(0x7fc00000);  // NaN
  if (row >= 0 && row < embedding.table_rows) {
    const bool is_blocks =
        dtype::with_blocks(embedding.dtype, embedding.table, [&]<class Block>(const Block* table) {
          values = decode_blocks<kVector>(table, row, embedding.width, column);
        });
    if (!is_blocks)
      values = load_values<kVector>(embedding.dtype, embedding.table, row * embedding.width + column);
  }
  store_values<kVector>(embedding.out + r * embedding.width + column, values);
}

template <int kVector>
void launch(const Gpu& gpu, const Embedding& embedding) {
  const auto pieces = static_cast<unsigned>(divide_up(embedding.width, kThreads * kVector));
  const auto blocks = static_cast<unsigned>(embedding.rows) * pieces;
  launch_overlapped(gpu, embedding_kernel<kVector>, {.blocks = blocks, .threads = kThreads}, embedding,
                    pieces);
}

}  // namespace

void run_embedding(const Gpu& gpu, const Embedding& embedding) {
  if (embedding.rows == 0 || embedding.width == 0) return;
  if (embedding.width % 4 == 0) {
    launch<4>(gpu, embedding);
  } else {
    launch<1>(gpu, embedding);
  }
}

}  // namespace ingot::cuda
