#include "backend/cuda/kernels/matmul.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"

namespace ingot::cuda {

void launch_matmul(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& out = launch.output;
  if (out.elements() == 0) return;
  const int64_t m = out.shape[-2];
  const int64_t n = out.shape[-1];
  run_matmul(gpu_of(backend), {.a = launch.inputs[0].f32(),
                               .b = launch.inputs[1].f32(),
                               .out = out.as<float>(),
                               .batch = out.elements() / (m * n),
                               .m = m,
                               .k = launch.inputs[0].shape[-1],
                               .n = n});
}

}  // namespace ingot::cuda
