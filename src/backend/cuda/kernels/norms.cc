#include "backend/cuda/kernels/norms.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/rms_norm.h"

namespace ingot::cuda {
namespace {

int64_t rows_of(const graph::Tensor& tensor) {
  return tensor.elements() == 0 ? 0 : tensor.elements() / tensor.shape[-1];
}

}  // namespace

void launch_rms_norm(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& weight = launch.inputs[1];
  run_rms_norm(gpu_of(backend), {.x = launch.inputs[0].f32(),
                                 .weight = weight.data,
                                 .weight_dtype = weight.dtype,
                                 .eps = static_cast<const graph::RmsNormOp&>(*launch.op).eps(),
                                 .out = launch.output.as<float>(),
                                 .rows = rows_of(launch.output),
                                 .width = launch.output.shape[-1]});
}

void launch_layer_norm(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& weight = launch.inputs[1];
  const graph::Tensor& bias = launch.inputs[2];
  run_layer_norm(gpu_of(backend), {.x = launch.inputs[0].f32(),
                                   .weight = weight.data,
                                   .weight_dtype = weight.dtype,
                                   .bias = bias.data,
                                   .bias_dtype = bias.dtype,
                                   .eps = static_cast<const graph::LayerNormOp&>(*launch.op).eps(),
                                   .out = launch.output.as<float>(),
                                   .rows = rows_of(launch.output),
                                   .width = launch.output.shape[-1]});
}

}  // namespace ingot::cuda
