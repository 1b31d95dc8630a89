#include "backend/cuda/kernels/linear_tensor_launch.cuh"

namespace ingot::cuda {
namespace {

template <DType kType>
void run(const Gpu& gpu, const TensorLinear& linear) {
  if (linear.rows <= 32) return launch_linear_tensor<kType, 1, 32, 1>(gpu, linear);
  if (linear.rows <= 64) return launch_linear_tensor<kType, 1, 64, 1>(gpu, linear);
  if (linear.rows <= 128) return launch_linear_tensor<kType, 1, 128, 2>(gpu, linear);
  launch_linear_tensor<kType, 2, 256, 2>(gpu, linear);
}

/// Code for 9.0a: without its own instructions the kernel is empty.
bool has_code() {
  int device = 0;
  int major = 0;
  int minor = 0;
  cudaFuncAttributes attributes = {};
  const bool found =
      cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess &&
      major == 9 && minor == 0 && has_tensor_maps() &&
      cudaFuncGetAttributes(&attributes, linear_tensor<DType::bf16, 1, 32, 1>) == cudaSuccess;
  static_cast<void>(cudaGetLastError());
  return found && attributes.sharedSizeBytes > 0;
}

}  // namespace

bool has_linear_tensor() {
  static const bool has = has_code();  // a matter of the device and the build
  return has;
}

void run_linear_tensor(const Gpu& gpu, const TensorLinear& linear) {
  if (linear.rows == 0) return;
  if (linear.dtype == DType::bf16) {
    run<DType::bf16>(gpu, linear);
  } else {
    run<DType::f16>(gpu, linear);
  }
}

}  // namespace ingot::cuda
