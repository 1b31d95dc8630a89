// What the ops that only move elements share: an array seen from one of its axes.
#pragma once

#include <cstring>

#include "graph/op.h"

namespace ingot::graph {

/// A contiguous array as [outer, extent, inner_bytes], where extent is that of `axis`.
struct AxisView {
  AxisView(const Tensor& tensor, int axis)
      : data(static_cast<std::byte*>(tensor.data)), extent(tensor.shape[axis]) {
    for (int i = 0; i < axis; ++i) outer *= tensor.shape[i];
    for (int i = axis + 1; i < tensor.shape.rank(); ++i) inner_bytes *= tensor.shape[i];
    inner_bytes *= static_cast<int64_t>(dtype_bytes(tensor.dtype));
  }
  std::byte* at(int64_t o, int64_t index) const { return data + (o * extent + index) * inner_bytes; }

  std::byte* data;
  int64_t outer = 1;
  int64_t extent;
  int64_t inner_bytes = 1;
};

inline void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

/// Each output byte is read once and written once.
inline Cost copy_cost(const Tensor& output) {
  const auto bytes = static_cast<double>(output.bytes());
  return {.flops = 0, .bytes_read = bytes, .bytes_written = bytes};
}

}  // namespace ingot::graph
