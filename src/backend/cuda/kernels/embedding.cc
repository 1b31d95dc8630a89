#include "backend/cuda/kernels/embedding.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"

namespace ingot::cuda {

void launch_embedding(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& ids = launch.inputs[0];
  const graph::Tensor& table = launch.inputs[1];
  run_embedding(gpu_of(backend), {.ids = ids.i32(),
                                  .table = table.data,
                                  .dtype = table.dtype,
                                  .rows = ids.shape[0],
                                  .table_rows = table.shape[0],
                                  .width = table.shape[1],
                                  .out = launch.output.as<float>()});
}

}  // namespace ingot::cuda
