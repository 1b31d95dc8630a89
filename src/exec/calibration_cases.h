// The op cases that calibration measures linears, attention and sampling with, of any size. Values.
#pragma once

#include <memory>
#include <vector>

#include "graph/ops/linear.h"
#include "opcases/op_case.h"
#include "opcases/step.h"

namespace ingot::exec {

/// Weights' bytes are the arena's; these stand in for them while a case is built.
class WeightBytes {
 public:
  Array array(DType dtype, const Shape& shape) {
    const size_t bytes = static_cast<size_t>(dtype_bytes(dtype, shape.elements()));
    if (bytes > bytes_->size()) bytes_ = std::make_shared<std::vector<std::byte>>(bytes);
    return Array::over(bytes_->data(), bytes, dtype, shape, bytes_);
  }

 private:
  std::shared_ptr<std::vector<std::byte>> bytes_ = std::make_shared<std::vector<std::byte>>();
};

opcases::OpCase linear_case(WeightBytes& weights, DType dtype, graph::WeightOrder order, int64_t rows,
                            int64_t in, int64_t out);

opcases::OpCase attention_case(const std::vector<opcases::StepPart>& parts, int64_t heads, int64_t kv_heads,
                               int64_t head_dim);

/// Greedy rows: how long the filters take depends on their settings, which shapes do not tell.
opcases::OpCase sample_case(int64_t rows, int64_t vocab);

}  // namespace ingot::exec
