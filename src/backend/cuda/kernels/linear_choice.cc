#include "backend/cuda/kernels/linear_choice.h"

#include <algorithm>

#include "backend/cuda/kernels/block_products.h"
#include "graph/ops/linear_fused.h"
#include "graph/ops/linear_qkv.h"

namespace ingot::cuda {
namespace {

bool is_16_bit(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16;
}

/// What the products of a launch round operands to, the coarsest of all parts.
enum class Rounding : uint8_t { none, f16, bf16, both };

Rounding rounding_of(LinearProduct product, DType weight) {
  if (product == LinearProduct::decoded) return Rounding::both;
  if (product == LinearProduct::plain || product == LinearProduct::blocks || weight == DType::f32)
    return Rounding::none;
  return weight == DType::f16 ? Rounding::f16 : Rounding::bf16;
}

Rounding rounding_of(const backend::KernelQuery& query) {
  const int64_t in = query.inputs[0].dim(1).extent();
  Rounding coarsest = Rounding::none;
  const auto add = [&](int input, graph::WeightOrder order) {
    const graph::TensorType& weight = query.inputs[static_cast<size_t>(input)];
    const bool is_in_out = order == graph::WeightOrder::in_out;
    const LinearProduct product =
        query.step == backend::StepClass::decode
            ? decode_product(weight.dtype, is_in_out, in)
            : prefill_product(weight.dtype, is_in_out, in, weight.dim(is_in_out ? 1 : 0).extent());
    coarsest = std::max(coarsest, rounding_of(product, weight.dtype));
  };
  if (const auto* linear = dynamic_cast<const graph::LinearOp*>(&query.op)) {
    add(1, linear->order());
  } else if (const auto* qkv = dynamic_cast<const graph::LinearQkvOp*>(&query.op)) {
    const graph::QkvForm& form = qkv->form();
    for (size_t i = 0; i < form.parts(); ++i) add(form.weight_input(i), form.order);
  } else {
    const graph::LinearForm& form = static_cast<const graph::FusedLinearOp&>(query.op).form();
    for (size_t i = 0; i < form.parts.size(); ++i) add(form.weight_input(i), form.parts[i].order);
  }
  return coarsest;
}

bool is_at_most(const backend::KernelQuery& query, backend::StepClass step, Rounding most) {
  return query.step == step && rounding_of(query) <= most;
}

}  // namespace

LinearProduct decode_product(DType weight, bool is_in_out, int64_t in) {
  if (is_16_bit(weight) && !is_in_out && in % 8 == 0) return LinearProduct::skinny;
  if (has_block_product(weight)) return LinearProduct::blocks;
  return LinearProduct::plain;
}

LinearProduct prefill_product(DType weight, bool is_in_out, int64_t in, int64_t out) {
  if (in == 0) return LinearProduct::plain;
  if (is_block_dtype(weight)) return LinearProduct::decoded;
  if (weight == DType::f32) return LinearProduct::library;
  // Rows of matrices of 16-bit values begin at multiples of 16 bytes.
  if (is_16_bit(weight) && in % 8 == 0 && (!is_in_out || out % 8 == 0)) return LinearProduct::library;
  return LinearProduct::plain;
}

bool supports_linear_decode_exact(const backend::KernelQuery& query) {
  return is_at_most(query, backend::StepClass::decode, Rounding::none);
}
bool supports_linear_decode_f16(const backend::KernelQuery& query) {
  return is_at_most(query, backend::StepClass::decode, Rounding::f16);
}
bool supports_linear_decode(const backend::KernelQuery& query) {
  return query.step == backend::StepClass::decode;
}
bool supports_linear_prefill_exact(const backend::KernelQuery& query) {
  return is_at_most(query, backend::StepClass::prefill, Rounding::none);
}
bool supports_linear_prefill_f16(const backend::KernelQuery& query) {
  return is_at_most(query, backend::StepClass::prefill, Rounding::f16);
}
bool supports_linear_prefill_bf16(const backend::KernelQuery& query) {
  return is_at_most(query, backend::StepClass::prefill, Rounding::bf16);
}
bool supports_linear_prefill(const backend::KernelQuery& query) {
  return query.step == backend::StepClass::prefill;
}

}  // namespace ingot::cuda
