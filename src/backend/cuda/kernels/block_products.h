// Products with weights of any storage format: blocks against rows of 8-bit integers, anything against f32
// rows, and decoding of whole weights for the library's matrix products.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

/// Rows rounded to 8-bit integers, 32 values with one scale: x = values * scales.
struct QuantisedRows {
  const int8_t* values = nullptr;  // [rows, in], at a multiple of 16 bytes
  const float* scales = nullptr;   // [rows, in / 32]
  const float* sums = nullptr;     // [rows, in / 32]: scale times the sum of its values
};

/// out[r, n] = sum over k of x[r, k] * weight[n, k], for 1 to 64 rows and more (tiled: the weights are read
/// again).
struct BlockProduct {
  QuantisedRows x;
  /// [out, in], blocks as in the file. A checkpoint's: read before the kernels ahead have ended. The bytes up
  /// to the next multiple of 16 are there to be read.
  const void* weight = nullptr;
  DType dtype = DType::q8_0;  // q8_0, q4_0, q4_k, q6_k or mxfp4
  int64_t rows = 0;
  int64_t in = 0;
  int64_t out = 0;
  float* sums = nullptr;  // [rows, stride]: out values of each row are written
  int64_t stride = 0;
};
bool has_block_product(DType dtype);
/// Row-invariant: the order of a row's sum depends on dtype, in and out alone.
void run_block_product(const Gpu& gpu, const BlockProduct& product);

inline constexpr int kMostBlockProducts = 8;
/// Products of the same rows, 1 to kMostBlockProducts: one launch for all of a type, whose sums' order then
/// depends on all their outs.
void run_block_products(const Gpu& gpu, const BlockProduct* products, int count);

/// The same for f32 rows and a weight of any type in either order, multiplied and added in f32.
struct PlainProduct {
  const float* x = nullptr;  // [rows, in]
  const void* weight = nullptr;
  DType dtype = DType::f32;
  bool is_in_out = false;  // weight [in, out]; types without blocks only
  int64_t rows = 0;
  int64_t in = 0;
  int64_t out = 0;
  float* sums = nullptr;
  int64_t stride = 0;
};
void run_plain_product(const Gpu& gpu, const PlainProduct& product);

/// Values [begin, begin + count) of a weight as bf16 (rounded to nearest) or f32; begin a multiple of the
/// block.
struct Decoding {
  const void* weight = nullptr;
  DType dtype = DType::q8_0;
  int64_t begin = 0;
  int64_t count = 0;
  void* values = nullptr;
  bool as_f32 = false;
};
void run_decode(const Gpu& gpu, const Decoding& decoding);

}  // namespace ingot::cuda
