#include "api/quantize_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "dtype/encoders.h"

namespace ingot::api {
namespace {

constexpr float kMaxF16 = 65504;

/// `count` stored values from any address as floats.
template <class Stored>
void decode_values(const std::byte* from, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, from + static_cast<size_t>(i) * sizeof(Stored), sizeof value);
    out[i] = dtype::decode(value);
  }
}

template <class Block>
void decode_blocks(const Block* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count / Block::kElements; ++b) {
    Block block;
    std::memcpy(&block, reinterpret_cast<const std::byte*>(blocks) + static_cast<size_t>(b) * sizeof block,
                sizeof block);
    for (int i = 0; i < Block::kElements; ++i) *out++ = dtype::decode(block, i);
  }
}

void decode_row(DType dtype, const std::byte* from, int64_t count, float* out) {
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, from, static_cast<size_t>(count) * sizeof(float));
      return;
    case DType::f16:
      return decode_values<dtype::F16>(from, count, out);
    case DType::bf16:
      return decode_values<dtype::Bf16>(from, count, out);
    case DType::f8_e4m3:
      return decode_values<dtype::F8E4M3>(from, count, out);
    default: {
      const bool known =
          dtype::with_blocks(dtype, from, [&](const auto* blocks) { decode_blocks(blocks, count, out); });
      INGOT_CHECK(known, "no decoder of {}", to_string(dtype));
    }
  }
}

/// The input's row for row `row` of the output.
int64_t source_row(const SourceTensor& tensor, int64_t row) {
  if (tensor.order != SourceOrder::neighbours) return row;
  const int64_t in_head = row % tensor.head_rows;
  return row - in_head + in_head % 2 * (tensor.head_rows / 2) + in_head / 2;
}

void read_columns(const SourceTensor& tensor, int64_t begin, int64_t end, float* out) {
  const int64_t columns = tensor.rows();
  const int64_t width = tensor.width();
  const int64_t count = end - begin;
  const size_t value_bytes = dtype_bytes(tensor.dtype);
  std::vector<float> line(static_cast<size_t>(count));
  for (int64_t i = 0; i < width; ++i) {
    decode_row(tensor.dtype, tensor.bytes.data() + static_cast<size_t>(i * columns + begin) * value_bytes,
               count, line.data());
    for (int64_t row = 0; row < count; ++row) out[row * width + i] = line[static_cast<size_t>(row)];
  }
}

/// The largest magnitude; NaN or infinity if a value is not finite.
float largest(const float* values, int64_t count) {
  float most = 0;
  float poison = 0;  // 0, or NaN once a value is not finite
  for (int64_t i = 0; i < count; ++i) {
    most = std::max(most, std::fabs(values[i]));
    poison += values[i] * 0.0F;
  }
  return most + poison;
}

template <class Block>
void encode_blocks(const float* values, int64_t count, std::byte* out) {
  for (int64_t i = 0; i < count; i += Block::kElements) {
    Block block{};
    if constexpr (requires { encode(values, &block); }) encode(values + i, &block);
    std::memcpy(out, &block, sizeof block);
    out += sizeof block;
  }
}

template <class Stored>
void encode_values(const float* values, int64_t count, std::byte* out, Stored (*encode)(float)) {
  for (int64_t i = 0; i < count; ++i) {
    const Stored value = encode(values[i]);
    std::memcpy(out + static_cast<size_t>(i) * sizeof value, &value, sizeof value);
  }
}

template <class Block>
constexpr bool has_encoder() {
  return requires(const float* values, Block* block) { encode(values, block); };
}

}  // namespace

int64_t SourceTensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

bool is_plain_copy(const SourceTensor& tensor, DType to) {
  return tensor.dtype == to && tensor.order == SourceOrder::same;
}

void read_rows(const SourceTensor& tensor, int64_t begin, int64_t end, float* out) {
  if (tensor.order == SourceOrder::columns) return read_columns(tensor, begin, end, out);
  const bool is_vector = tensor.shape.size() == 1 && tensor.order == SourceOrder::neighbours;
  const int64_t width = is_vector ? 1 : tensor.width();
  if (is_vector) {  // the whole bias is one row of the output
    INGOT_CHECK(begin == 0 && end == 1, "rows {} to {} of a vector", begin, end);
    end = tensor.width();
  }
  const auto row_bytes = static_cast<size_t>(dtype_bytes(tensor.dtype, width));
  for (int64_t row = begin; row < end; ++row) {
    const auto from = static_cast<size_t>(source_row(tensor, row)) * row_bytes;
    decode_row(tensor.dtype, tensor.bytes.data() + from, width, out);
    out += width;
  }
}

bool encode_rows(DType to, const float* values, int64_t count, std::byte* out) {
  const float most = largest(values, count);
  // bf16 reaches as far as f32, and a NaN is a NaN there. Blocks have scales of f16.
  const bool reaches_all = to == DType::f32 || to == DType::bf16;
  if (!reaches_all && !(most <= kMaxF16)) return false;
  switch (to) {
    case DType::f32:
      std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
      return true;
    case DType::f16:
      encode_values<dtype::F16>(values, count, out, dtype::encode_f16);
      return true;
    case DType::bf16:
      encode_values<dtype::Bf16>(values, count, out, dtype::encode_bf16);
      return true;
    default: {
      const bool known = dtype::with_blocks(
          to, out, [&]<class Block>(const Block*) { encode_blocks<Block>(values, count, out); });
      INGOT_CHECK(known, "no encoder of {}", to_string(to));
      return true;
    }
  }
}

bool is_encodable(DType to) {
  if (is_float_dtype(to)) return true;
  bool known = false;
  dtype::with_blocks(to, nullptr, [&]<class Block>(const Block*) { known = has_encoder<Block>(); });
  return known;
}

}  // namespace ingot::api
