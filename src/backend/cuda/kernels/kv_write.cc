#include "backend/cuda/kernels/kv_write.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"

namespace ingot::cuda {

void launch_kv_write(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& x = launch.inputs[1];
  run_kv_write(gpu_of(backend), {.x = x.f32(),
                                 .slots = launch.inputs[2].i32(),
                                 .cache = launch.output.as<float>(),  // the storage of the first input
                                 .rows = x.shape[0],
                                 .heads = static_cast<int>(x.shape[1]),
                                 .head_dim = static_cast<int>(x.shape[2]),
                                 .page_tokens = static_cast<int>(launch.output.shape[2])});
}

}  // namespace ingot::cuda
