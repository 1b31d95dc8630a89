// Tensor: a bound, contiguous, typed view of memory; what kernels and references receive.
//
// Owns nothing. `data` is an address of the device that runs the kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dtype/formats.h"
#include "ingot/array.h"
#include "ingot/dtype.h"

namespace ingot::graph {

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  int64_t elements() const { return shape.elements(); }
  size_t bytes() const { return static_cast<size_t>(dtype_bytes(dtype, elements())); }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  const float* f32() const { return static_cast<const float*>(data); }
  const int32_t* i32() const { return static_cast<const int32_t*>(data); }

  /// Element i of a tensor of a weight type, decoded. For references; kernels decode vectors.
  float at(int64_t i) const { return dtype::value_at(dtype, data, i); }
};

}  // namespace ingot::graph
