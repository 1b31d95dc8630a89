// embedding: rows of a table of any weight type, decoded to f32.
#pragma once

#include "backend/cuda/kernels/gpu.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

struct Embedding {
  const int32_t* ids = nullptr;  // [rows]
  const void* table = nullptr;   // [table_rows, width]
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t table_rows = 0;
  int64_t width = 0;
  float* out = nullptr;  // [rows, width]
};
/// The row of an id that the table does not have is NaN: nobody can be told from here.
void run_embedding(const Gpu& gpu, const Embedding& embedding);

}  // namespace ingot::cuda
