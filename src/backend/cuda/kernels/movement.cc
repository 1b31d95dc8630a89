#include "backend/cuda/kernels/movement.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "graph/ops/concat.h"
#include "graph/ops/slice.h"
#include "graph/ops/strided_copy.h"
#include "graph/ops/transpose.h"

namespace ingot::cuda {

static_assert(Permutation::kMaxRank == Shape::kMaxRank);

void launch_concat(backend::Backend& backend, const backend::Launch& launch) {
  const int axis = static_cast<const graph::ConcatOp&>(*launch.op).axis();
  const graph::AxisView to(launch.output, axis);
  int64_t start = 0;
  for (const graph::Tensor& input : launch.inputs) {
    const graph::AxisView from(input, axis);
    const int64_t bytes = from.extent * from.inner_bytes;
    run_row_copy(gpu_of(backend), {.to = to.data + start * to.inner_bytes,
                                   .from = from.data,
                                   .rows = to.outer,
                                   .row_bytes = bytes,
                                   .to_pitch = to.extent * to.inner_bytes,
                                   .from_pitch = bytes});
    start += from.extent;
  }
}

void launch_slice(backend::Backend& backend, const backend::Launch& launch) {
  const auto& op = static_cast<const graph::SliceOp&>(*launch.op);
  const graph::AxisView from(launch.inputs[0], op.axis());
  const graph::AxisView to(launch.output, op.axis());
  const int64_t bytes = to.extent * to.inner_bytes;
  run_row_copy(gpu_of(backend), {.to = to.data,
                                 .from = from.data + op.begin() * from.inner_bytes,
                                 .rows = to.outer,
                                 .row_bytes = bytes,
                                 .to_pitch = bytes,
                                 .from_pitch = from.extent * from.inner_bytes});
}

void launch_reshape(backend::Backend& backend, const backend::Launch& launch) {
  if (launch.inputs[0].data == launch.output.data) return;  // the storage is shared
  const auto bytes = static_cast<int64_t>(launch.output.bytes());
  run_row_copy(gpu_of(backend), {.to = launch.output.data,
                                 .from = launch.inputs[0].data,
                                 .rows = 1,
                                 .row_bytes = bytes,
                                 .to_pitch = bytes,
                                 .from_pitch = bytes});
}

void launch_transpose(backend::Backend& backend, const backend::Launch& launch) {
  const std::span<const int> order = static_cast<const graph::TransposeOp&>(*launch.op).order();
  const graph::Tensor& x = launch.inputs[0];
  Permutation permutation{.to = launch.output.data,
                          .from = x.data,
                          .item_bytes = static_cast<int64_t>(dtype_bytes(x.dtype)),
                          .rank = x.shape.rank()};
  for (int i = 0; i < permutation.rank; ++i) {
    permutation.extents[i] = launch.output.shape[i];
    permutation.strides[i] = 1;
    for (int axis = order[static_cast<size_t>(i)] + 1; axis < x.shape.rank(); ++axis)
      permutation.strides[i] *= x.shape[axis];
  }
  run_permutation(gpu_of(backend), permutation);
}

}  // namespace ingot::cuda
