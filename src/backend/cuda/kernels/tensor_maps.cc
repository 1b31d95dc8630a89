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

}  // namespace

bool has_tensor_maps() {
  return encode() != nullptr;
}

CUtensorMap map_boxes(const MatrixBoxes& boxes) {
  CUtensorMap map = {};
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(boxes.width), static_cast<cuuint64_t>(boxes.rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(boxes.stride) * 2};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(boxes.box_width),
                            static_cast<cuuint32_t>(boxes.box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUtensorMapDataType type =
      boxes.dtype == DType::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  // Whole 256 bytes in the second-level cache for each 128 that are asked for would stream weights up to 4 %
  // slower (H200).
  static_cast<void>(encode()(&map, type, 2, const_cast<void*>(boxes.data), sizes, strides, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE,
                             boxes.is_swizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
                             CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return map;
}

}  // namespace ingot::cuda
