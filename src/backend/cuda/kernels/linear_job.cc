#include "backend/cuda/kernels/linear_job.h"

#include "graph/ops/linear.h"

namespace ingot::cuda {

using backend::Launch;
using graph::Activation;
using graph::LinearForm;
using graph::NormPrologue;
using graph::Tensor;

FloatRow float_row(const Tensor* tensor) {
  if (tensor == nullptr) return {};
  return {.data = tensor->data, .dtype = tensor->dtype};
}

RowPreparation rows_of(std::span<const Tensor> inputs, const NormPrologue& norm) {
  const Tensor& x = inputs[0];
  RowPreparation rows{.x = x.f32(), .rows = x.shape[0], .in = x.shape[1], .eps = norm.eps};
  if (norm.kind == NormPrologue::Kind::none) return rows;
  rows.norm = norm.kind == NormPrologue::Kind::rms ? LinearNorm::rms : LinearNorm::layer;
  rows.norm_weight = float_row(&inputs[1]);
  if (rows.norm == LinearNorm::layer) rows.norm_bias = float_row(&inputs[2]);
  return rows;
}

LinearPart part_of(const Tensor& weight, const Tensor* bias, graph::WeightOrder order, float* output) {
  const bool is_in_out = order == graph::WeightOrder::in_out;
  return {.weight = weight.data,
          .dtype = weight.dtype,
          .is_in_out = is_in_out,
          .outputs = weight.shape[is_in_out ? 1 : 0],
          .has_bias = bias != nullptr,
          .bias = float_row(bias),
          .output = output};
}

namespace {

LinearActivation activation_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return LinearActivation::none;
    case Activation::gelu_erf:
      return LinearActivation::gelu_erf;
    case Activation::gelu_tanh:
      return LinearActivation::gelu_tanh;
    case Activation::silu:
      return LinearActivation::silu;
  }
  return LinearActivation::none;
}

}  // namespace

LinearJob linear_job(const Launch& launch) {
  LinearJob job;
  if (const auto* linear = dynamic_cast<const graph::LinearOp*>(launch.op)) {
    job.rows = rows_of(launch.inputs, {});
    job.part_count = 1;
    job.parts[0] = part_of(launch.inputs[1], launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
                           linear->order(), launch.output.as<float>());
    return job;
  }
  const LinearForm& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  job.rows = rows_of(launch.inputs, form.norm);
  job.part_count = static_cast<int>(form.parts.size());
  for (size_t i = 0; i < form.parts.size(); ++i) {
    // A group's further parts are results; both parts of a gate share the output.
    const Tensor& output = i == 0 || form.gated ? launch.output : launch.results[i - 1];
    job.parts[i] =
        part_of(*input(form.weight_input(i)), form.parts[i].has_bias ? input(form.bias_input(i)) : nullptr,
                form.parts[i].order, output.as<float>());
  }
  job.epilogue.activation = activation_of(form.activation);
  job.epilogue.gated = form.gated;
  job.has_add = form.add;
  job.has_residual = form.residual;
  if (form.add) {
    job.epilogue.add = float_row(input(form.add_input()));
    job.epilogue.adds_rows = input(form.add_input())->shape.rank() == 2;
  }
  if (form.residual) job.epilogue.residual = input(form.residual_input())->f32();
  return job;
}

}  // namespace ingot::cuda
