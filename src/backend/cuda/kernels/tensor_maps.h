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

/// Two matrices of the same shape, as one with eight rows of the lower and eight of the upper in turn.
struct PairBoxes {
  const void* lower = nullptr;  // [rows, width], at a multiple of 16 bytes
  int64_t distance = 0;         // of the upper, in bytes: a positive multiple of 16
  DType dtype = DType::bf16;    // of 16 bits
  int64_t rows = 0;             // of each, a multiple of 8
  int64_t width = 0;            // a multiple of 8
  int box_rows = 0;             // of each that a copy brings, a multiple of 8, with 64 values each, swizzled
};

/// Whether the driver has the function.
bool has_tensor_maps();
/// Only where it has. Errors: what the driver refuses gives a map of nothing, whose copies are an error.
CUtensorMap map_boxes(const MatrixBoxes& boxes);
CUtensorMap map_pair_boxes(const PairBoxes& boxes);

}  // namespace ingot::cuda
