// What the plain products of both orders share.
#pragma once

#include <algorithm>

#include "backend/cuda/kernels/block_products.h"

namespace ingot::cuda {

/// Calls f(part, row blocks) for parts of the rows that a grid has enough blocks for.
template <class F>
void for_row_blocks(const PlainProduct& product, int64_t rows_of_block, const F& f) {
  const int64_t most = 65535 * rows_of_block;
  for (int64_t done = 0; done < product.rows; done += most) {
    PlainProduct part = product;
    part.rows = std::min(product.rows - done, most);
    part.x += done * product.in;
    part.sums += done * product.stride;
    f(part, static_cast<unsigned>(divide_up(part.rows, rows_of_block)));
  }
}

/// run_plain_product() for weights [in, out].
void run_plain_in_out(const Gpu& gpu, const PlainProduct& product);

}  // namespace ingot::cuda
