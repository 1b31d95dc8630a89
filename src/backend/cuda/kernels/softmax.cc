#include "backend/cuda/kernels/softmax.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"

namespace ingot::cuda {

void launch_softmax(backend::Backend& backend, const backend::Launch& launch) {
  const int64_t width = launch.output.shape[-1];
  run_softmax(gpu_of(backend), {.x = launch.inputs[0].f32(),
                                .out = launch.output.as<float>(),
                                .rows = width == 0 ? 0 : launch.output.elements() / width,
                                .width = width});
}

}  // namespace ingot::cuda
