#include "graph/op.h"

#include "base/check.h"

namespace ingot::graph {

Cost Op::cost(std::span<const Tensor> inputs, const Tensor& output) const {
  Cost cost;
  for (const Tensor& input : inputs) cost.bytes_read += static_cast<double>(input.bytes());
  cost.bytes_written = static_cast<double>(output.bytes());
  cost.flops = static_cast<double>(output.elements());
  return cost;
}

void expect_inputs(const Op& op, std::span<const TensorType> inputs, size_t least, size_t most) {
  if (inputs.size() >= least && inputs.size() <= most) return;
  const std::string range = least == most ? fmt::format("{}", least) : fmt::format("{} to {}", least, most);
  fail(ErrorCode::invalid_argument, "{}: expected {} inputs, found {}", op.name(), range, inputs.size());
}

void expect_rank(const Op& op, std::string_view what, const TensorType& type, int rank) {
  if (type.rank() == rank) return;
  fail(ErrorCode::invalid_argument, "{}: expected {} of rank {}, found {}", op.name(), what, rank,
       to_string(type));
}

void expect_dtype(const Op& op, std::string_view what, const TensorType& type, DType dtype) {
  if (type.dtype == dtype) return;
  fail(ErrorCode::invalid_argument, "{}: expected {} of type {}, found {}", op.name(), what, to_string(dtype),
       to_string(type));
}

void expect_float(const Op& op, std::string_view what, const TensorType& type) {
  if (is_float_dtype(type.dtype)) return;
  fail(ErrorCode::invalid_argument, "{}: expected {} of type f32, f16 or bf16, found {}", op.name(), what,
       to_string(type));
}

void expect_weight(const Op& op, std::string_view what, const TensorType& type) {
  if (!is_weight_dtype(type.dtype)) {
    fail(ErrorCode::invalid_argument, "{}: expected {} of a type for weights, found {}", op.name(), what,
         to_string(type));
  }
  if (!is_block_dtype(type.dtype)) return;
  const int64_t block = block_of(type.dtype).elements;
  const Dim width = type.dim(-1);
  if (!width.is_static() || width.extent() % block != 0) {
    fail(ErrorCode::invalid_argument, "{}: expected the width of {} to be a multiple of {}, found {}",
         op.name(), what, block, to_string(type));
  }
}

void expect_single_values(const Op& op, const TensorType& type) {
  if (!is_block_dtype(type.dtype)) return;
  fail(ErrorCode::invalid_argument, "{}: expected a type without blocks, found {}", op.name(),
       to_string(type));
}

void expect_dim(const Op& op, std::string_view what, const Dim& found, const Dim& expected) {
  if (found == expected) return;
  fail(ErrorCode::invalid_argument, "{}: expected {} to be {}, found {}", op.name(), what,
       to_string(expected), to_string(found));
}

}  // namespace ingot::graph
