#include "backend/cuda/kernels/linear_tensor_job.h"

#include <algorithm>

#include "backend/cuda/free_order.h"
#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/linear_tensor.h"

namespace ingot::cuda {
namespace {

constexpr int64_t kDecodedValues = int64_t{64} << 20;  // of weights, at a time: 128 MiB
constexpr int64_t kDecodedOutputs = 256;               // a multiple of it at a time: the kernel's tiles

/// What a part is multiplied as.
DType multiplied_as(const LinearPart& part) {
  return is_block_dtype(part.dtype) ? DType::bf16 : part.dtype;
}

FloatRow from(const FloatRow& row, int64_t first) {
  if (row.data == nullptr) return row;
  const auto bytes = row.dtype == DType::f32 ? 4 : 2;
  return {.data = static_cast<const std::byte*>(row.data) + first * bytes, .dtype = row.dtype};
}

TensorLinear linear_of(const RowPreparation& rows, DType dtype) {
  TensorLinear linear;
  linear.dtype = dtype;
  linear.rows = rows.rows;
  linear.in = rows.in;
  linear.x = dtype == DType::bf16 ? rows.bf16 : rows.f16;
  linear.pitch = rows.pitch;
  linear.row_scales = dtype == DType::bf16 ? nullptr : rows.f16_scales;
  return linear;
}

}  // namespace

TensorParts::TensorParts(const LinearJob& given) : job(given) {
  if (kFreeOrder || !has_linear_tensor()) return;
  const auto count = static_cast<size_t>(job.part_count);
  for (size_t i = 0; i < count; ++i) {
    const LinearPart& part = job.parts[i];
    is_tensor[i] =
        prefill_product(part.dtype, part.is_in_out, job.rows.in, part.outputs) != LinearProduct::plain &&
        takes_linear_tensor(multiplied_as(part), part.is_in_out, job.rows.in);
  }
  // The two of a gated pair are one product: of one type, both decoded or none.
  if (!job.epilogue.gated) return;
  const LinearPart& gate = job.parts[0];
  const LinearPart& up = job.parts[1];
  const bool is_pair = is_tensor[0] && is_tensor[1] && multiplied_as(gate) == multiplied_as(up) &&
                       is_block_dtype(gate.dtype) == is_block_dtype(up.dtype);
  is_tensor[0] = is_tensor[1] = is_pair;
}

int64_t TensorParts::decoded_outputs(const LinearPart& part) const {
  const int64_t values = job.epilogue.gated ? kDecodedValues / 2 : kDecodedValues;
  const int64_t most = values / job.rows.in / kDecodedOutputs * kDecodedOutputs;
  return std::min(part.outputs, std::max(most, kDecodedOutputs));
}

int64_t TensorParts::decoded_values() const {
  int64_t values = 0;
  for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
    if (is_tensor[i] && is_block_dtype(job.parts[i].dtype))
      values = std::max(values, decoded_outputs(job.parts[i]) * job.rows.in);
  }
  return job.epilogue.gated ? 2 * values : values;
}

void TensorParts::run(const Gpu& gpu, const RowPreparation& rows, uint16_t* decoded) const {
  for (DType dtype : {DType::bf16, DType::f16}) run_direct(gpu, rows, dtype);
  for (size_t i = 0; i < static_cast<size_t>(job.output_count()); ++i) {
    if (is_tensor[i] && is_block_dtype(job.parts[i].dtype)) run_decoded(gpu, rows, i, decoded);
  }
}

/// The parts of a type that are multiplied as they are: one launch.
void TensorParts::run_direct(const Gpu& gpu, const RowPreparation& rows, DType dtype) const {
  TensorLinear linear = linear_of(rows, dtype);
  linear.epilogue = job.epilogue;
  for (size_t i = 0; i < static_cast<size_t>(job.output_count()); ++i) {
    const LinearPart& part = job.parts[i];
    if (!is_tensor[i] || part.dtype != dtype) continue;
    linear.parts[linear.part_count++] = {
        .weight = part.weight, .bias = part.bias, .out = part.output, .outputs = part.outputs};
  }
  if (linear.part_count == 0) return;
  if (job.epilogue.gated) {
    linear.parts[0].up = job.parts[1].weight;
    linear.parts[0].up_bias = job.parts[1].bias;
  }
  run_linear_tensor(gpu, linear);
}

void TensorParts::run_decoded(const Gpu& gpu, const RowPreparation& rows, size_t index,
                              uint16_t* decoded) const {
  const LinearPart& part = job.parts[index];
  const int64_t most = decoded_outputs(part);
  const auto decode = [&](const LinearPart& which, int64_t first, int64_t count, uint16_t* to) {
    run_decode(gpu, {.weight = which.weight,
                     .dtype = which.dtype,
                     .begin = first * job.rows.in,
                     .count = count * job.rows.in,
                     .values = to});
  };
  for (int64_t first = 0; first < part.outputs; first += most) {
    const int64_t count = std::min(most, part.outputs - first);
    TensorLinear linear = linear_of(rows, DType::bf16);
    linear.weights_are_written = true;
    linear.stride = part.outputs;
    linear.part_count = 1;
    linear.epilogue = job.epilogue;
    linear.epilogue.add = from(job.epilogue.add, first);
    if (job.has_residual) linear.epilogue.residual = job.epilogue.residual + first;
    linear.parts[0] = {
        .weight = decoded, .bias = from(part.bias, first), .out = part.output + first, .outputs = count};
    decode(part, first, count, decoded);
    if (job.epilogue.gated) {
      const LinearPart& up = job.parts[1];
      linear.parts[0].up = decoded + most * job.rows.in;
      linear.parts[0].up_bias = from(up.bias, first);
      decode(up, first, count, decoded + most * job.rows.in);
    }
    run_linear_tensor(gpu, linear);
  }
}

}  // namespace ingot::cuda
