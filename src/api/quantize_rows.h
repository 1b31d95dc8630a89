// Rows of a weight on their way to another type and another order: bytes in, bytes out.
//
// Pure functions of their arguments, thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/dtype.h"

namespace ingot::api {

/// Where a row of the output lies in the input.
enum class SourceOrder : uint8_t {
  same,
  neighbours,  // rows of a head from halves (Hugging Face) to neighbours (architecture llama)
  columns,     // rows are the input's columns
};

/// A tensor as stored, seen in the order it is to be written in. Borrows its bytes, which may lie anywhere.
struct SourceTensor {
  std::string name;         // as GGUF has it
  std::string source_name;  // as the input has it
  std::string file;         // of the input
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // of the output, outermost first
  std::span<const std::byte> bytes;
  SourceOrder order = SourceOrder::same;
  int64_t head_rows = 0;  // neighbours: rows of one head

  int64_t width() const { return shape.back(); }
  int64_t rows() const;  // of `width` values, over all other dimensions
  int64_t elements() const { return rows() * width(); }
};

/// Whether `to` needs no look at the values: the bytes are the same.
bool is_plain_copy(const SourceTensor& tensor, DType to);

/// Rows [begin, end) as floats. A neighbours tensor of one dimension has rows of one value.
void read_rows(const SourceTensor& tensor, int64_t begin, int64_t end, float* out);

/// Encodes whole rows. Returns false where a value is not finite, or too large for the type.
bool encode_rows(DType to, const float* values, int64_t count, std::byte* out);

/// Whether encode_rows() knows the type.
bool is_encodable(DType to);

}  // namespace ingot::api
