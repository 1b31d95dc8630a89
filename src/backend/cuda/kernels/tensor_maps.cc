#include "backend/cuda/kernels/tensor_maps.h"

#include <cuda_runtime_api.h>

namespace ingot::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned kSince = 12000;  // the version that brought it
#if CUDART_VERSION >= 12050
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince,
                                                              cudaEnableDefault, &found);
#else
  static_cast<void>(kSince);
  const cudaError_t status =
      cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
  if (status != cudaSuccess) static_cast<void>(cudaGetLastError());
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess) return nullptr;
  return reinterpret_cast<Encode>(function);
}

/// The same for every device of the process.
Encode encode() {
  static const Encode function = find_encode();
  return function;
}

constexpr int kMostSizes = 4;

/// `sizes`: of the matrix or what it is taken for, first the values next to each other, then what is so many
/// bytes apart as `strides` say. `box`: of each, how many a copy brings.
/// Copies bring what was asked for, no more: with whole 256 bytes in the second-level cache, weights streamed
/// up to 4 % slower (H200).
CUtensorMap map_of(const void* data, DType dtype, int count, const cuuint64_t (&sizes)[kMostSizes],
                   const cuuint64_t (&strides)[kMostSizes - 1], const cuuint32_t (&box)[kMostSizes],
                   bool is_swizzled) {
  CUtensorMap map = {};
  const cuuint32_t steps[kMostSizes] = {1, 1, 1, 1};
  const CUtensorMapDataType type =
      dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  static_cast<void>(encode()(&map, type, static_cast<cuuint32_t>(count), const_cast<void*>(data), sizes,
                             strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                             is_swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
                             CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return map;
}

cuuint64_t size(int64_t value) {
  return static_cast<cuuint64_t>(value);
}
cuuint32_t box_size(int value) {
  return static_cast<cuuint32_t>(value);
}

}  // namespace

bool has_tensor_maps() {
  return encode() != nullptr;
}

CUtensorMap map_boxes(const MatrixBoxes& boxes) {
  return map_of(boxes.data, boxes.dtype, 2, {size(boxes.width), size(boxes.rows)}, {size(boxes.stride) * 2},
                {box_size(boxes.box_width), box_size(boxes.box_rows)}, boxes.is_swizzled);
}

CUtensorMap map_pair_boxes(const PairBoxes& boxes) {
  const cuuint64_t row_bytes = size(boxes.width) * 2;
  return map_of(boxes.lower, boxes.dtype, 4, {size(boxes.width), 8, 2, size(boxes.rows / 8)},
                {row_bytes, size(boxes.distance), row_bytes * 8}, {64, 8, 2, box_size(boxes.box_rows / 8)},
                true);
}

}  // namespace ingot::cuda
