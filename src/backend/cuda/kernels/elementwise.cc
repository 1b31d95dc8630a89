#include "backend/cuda/kernels/elementwise.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "graph/ops/gelu.h"

namespace ingot::cuda {
namespace {

void launch_unary(const Gpu& gpu, const backend::Launch& launch, UnaryKind kind) {
  run_unary(gpu, {.kind = kind,
                  .x = launch.inputs[0].f32(),
                  .out = launch.output.as<float>(),
                  .elements = launch.output.elements()});
}

void launch_binary(const Gpu& gpu, const backend::Launch& launch, BinaryKind kind) {
  const graph::Tensor& b = launch.inputs[1];
  run_binary(gpu, {.kind = kind,
                   .a = launch.inputs[0].f32(),
                   .b = b.data,
                   .b_dtype = b.dtype,
                   .out = launch.output.as<float>(),
                   .elements = launch.output.elements(),
                   .row = b.elements()});
}

}  // namespace

void launch_add(backend::Backend& backend, const backend::Launch& launch) {
  launch_binary(gpu_of(backend), launch, BinaryKind::add);
}

void launch_mul(backend::Backend& backend, const backend::Launch& launch) {
  launch_binary(gpu_of(backend), launch, BinaryKind::mul);
}

void launch_gelu(backend::Backend& backend, const backend::Launch& launch) {
  const auto& op = static_cast<const graph::GeluOp&>(*launch.op);
  launch_unary(gpu_of(backend), launch,
               op.kind() == graph::GeluKind::erf ? UnaryKind::gelu_erf : UnaryKind::gelu_tanh);
}

void launch_silu(backend::Backend& backend, const backend::Launch& launch) {
  launch_unary(gpu_of(backend), launch, UnaryKind::silu);
}

}  // namespace ingot::cuda
