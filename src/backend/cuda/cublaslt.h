// cuBLASLt, opened at run time: matrix products of many rows.
//
// One algorithm for each shape of a weight, whatever the number of rows, and none that splits K: a row's bits
// depend neither on other rows nor on their number. Used by one thread at a time, on one stream: all products
// share the workspace.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>

#include "ingot/dtype.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

/// sums[r, n] = sum over k of x[r, k] * weight[n, k], multiplied in the operands' type, added in f32. All
/// addresses are multiples of 16.
struct MatrixProduct {
  const void* x = nullptr;  // [rows, x_stride]
  const void* weight = nullptr;
  DType dtype = DType::bf16;  // of both: bf16, f16 or f32 (with no shorter products inside)
  bool is_in_out = false;     // weight [in, out], else [out, in]
  int64_t rows = 0;
  int64_t in = 0;
  int64_t out = 0;
  int64_t x_stride = 0;
  const float* add = nullptr;  // [rows, stride]: added to the sums; may be the same memory
  float* sums = nullptr;       // [rows, stride]
  int64_t stride = 0;
};

class CublasLt {
 public:
  /// Workspace that serves every product.
  static constexpr size_t kWorkspaceBytes = size_t{64} << 20;

  /// `workspace`: device memory, kWorkspaceBytes or more. Errors: unsupported where the library is not there,
  /// device_failed.
  explicit CublasLt(PooledBuffer workspace);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// Whether the library has an algorithm for such products; whatever their rows.
  bool supports(const MatrixProduct& product);
  /// Enqueues the product. Only for products that are supported. Errors: device_failed.
  void multiply(const MatrixProduct& product, cudaStream_t stream);

 private:
  struct Library;
  struct Description;
  /// What an algorithm is chosen by.
  using Shape = std::tuple<int64_t, int64_t, int64_t, int64_t, DType, bool, int64_t>;  // in, out, strides …

  /// The shape's algorithm; none where there is none. Chosen at the first call, on the host. With kFreeOrder,
  /// that of the shape and the number of rows.
  const std::optional<cublasLtMatmulAlgo_t>& algorithm(const MatrixProduct& product);

  std::unique_ptr<Library> library_;
  cublasLtHandle_t handle_ = nullptr;
  PooledBuffer workspace_;
  std::map<Shape, std::optional<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace ingot::cuda
