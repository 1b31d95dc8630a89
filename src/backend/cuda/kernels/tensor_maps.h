// What the copy engine knows of a matrix (CUtensorMap). The driver's function that describes one is found
// when it is first needed: the driver is not linked.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "ingot/dtype.h"

namespace ingot::cuda {

struct MatrixBoxes {
  const void* data = nullptr;  // [rows, stride], at a multiple of 16 bytes
  DType dtype = DType::bf16;   // of 16 bits
  int64_t rows = 0;
  int64_t width = 0;        // values of a row; zeros follow
  int64_t stride = 0;       // a multiple of 8
  int box_width = 64;       // values of each row that a copy brings, at most 256
  bool is_swizzled = true;  // rows of 64 values: 128 bytes, swizzled in eights of rows
  int box_rows = 0;         // that a copy brings
};

/// Whether the driver has the function.
bool has_tensor_maps();
/// Only where it has. Errors: what the driver refuses gives a map of nothing, whose copies are an error.
CUtensorMap map_boxes(const MatrixBoxes& boxes);

}  // namespace ingot::cuda
