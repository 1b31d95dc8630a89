#include "backend/cuda/kernels/rope.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "graph/ops/rope.h"

namespace ingot::cuda {

void launch_rope(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& x = launch.inputs[0];
  const auto style = static_cast<const graph::RopeOp&>(*launch.op).style();
  run_rope(gpu_of(backend), {.x = x.f32(),
                             .table = launch.inputs[1].f32(),
                             .out = launch.output.as<float>(),
                             .rows = x.shape[0],
                             .heads = static_cast<int>(x.shape[1]),
                             .head_dim = static_cast<int>(x.shape[2]),
                             .pairs = static_cast<int>(launch.inputs[1].shape[1] / 2),
                             .interleaved = style == graph::RopeStyle::interleaved});
}

}  // namespace ingot::cuda
