// Element types of arrays and checkpoint tensors: single elements, and the block formats of quantised
// weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ingot {

enum class DType : uint8_t {
  // One value each.
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  // Blocks of values along the last dimension, as GGUF stores them (src/dtype has a header for each).
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
};

inline constexpr int kDTypeCount = static_cast<int>(DType::mxfp4) + 1;

/// Values that are stored together, and the bytes they take.
struct DTypeBlock {
  int64_t elements = 1;
  int64_t bytes = 0;
};

/// What dtypes are made of, and the name used in messages, tables and options: "f32", "q4_k" …
struct DTypeInfo {
  std::string_view name;
  DTypeBlock block;
};

constexpr DTypeInfo dtype_info(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return {"f64", {1, 8}};
    case DType::f32:
      return {"f32", {1, 4}};
    case DType::f16:
      return {"f16", {1, 2}};
    case DType::bf16:
      return {"bf16", {1, 2}};
    case DType::f8_e4m3:
      return {"f8_e4m3", {1, 1}};
    case DType::i64:
      return {"i64", {1, 8}};
    case DType::i32:
      return {"i32", {1, 4}};
    case DType::i16:
      return {"i16", {1, 2}};
    case DType::i8:
      return {"i8", {1, 1}};
    case DType::u8:
      return {"u8", {1, 1}};
    case DType::boolean:
      return {"bool", {1, 1}};
    case DType::q8_0:
      return {"q8_0", {32, 34}};
    case DType::q4_0:
      return {"q4_0", {32, 18}};
    case DType::q4_1:
      return {"q4_1", {32, 20}};
    case DType::q5_0:
      return {"q5_0", {32, 22}};
    case DType::q5_1:
      return {"q5_1", {32, 24}};
    case DType::q2_k:
      return {"q2_k", {256, 84}};
    case DType::q3_k:
      return {"q3_k", {256, 110}};
    case DType::q4_k:
      return {"q4_k", {256, 144}};
    case DType::q5_k:
      return {"q5_k", {256, 176}};
    case DType::q6_k:
      return {"q6_k", {256, 210}};
    case DType::iq4_nl:
      return {"iq4_nl", {32, 18}};
    case DType::iq4_xs:
      return {"iq4_xs", {256, 136}};
    case DType::mxfp4:
      return {"mxfp4", {32, 17}};
  }
  return {"?", {1, 0}};
}

constexpr std::string_view to_string(DType dtype) {
  return dtype_info(dtype).name;
}

constexpr DTypeBlock block_of(DType dtype) {
  return dtype_info(dtype).block;
}

/// Whether values are stored in blocks: such an array's last dimension is a multiple of the block's elements.
constexpr bool is_block_dtype(DType dtype) {
  return block_of(dtype).elements > 1;
}

/// Bytes of one value. Not for block formats: 0.
constexpr size_t dtype_bytes(DType dtype) {
  return is_block_dtype(dtype) ? 0 : static_cast<size_t>(block_of(dtype).bytes);
}

/// Bytes of so many values, whole blocks.
constexpr int64_t dtype_bytes(DType dtype, int64_t elements) {
  return elements / block_of(dtype).elements * block_of(dtype).bytes;
}

/// What addresses must be a multiple of; blocks are read from any.
constexpr size_t dtype_alignment(DType dtype) {
  return is_block_dtype(dtype) ? 1 : dtype_bytes(dtype);
}

/// The types that biases, norms and tables of floats may have.
constexpr bool is_float_dtype(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// The types that the matrices of a model may have.
constexpr bool is_weight_dtype(DType dtype) {
  return is_float_dtype(dtype) || dtype == DType::f8_e4m3 || is_block_dtype(dtype);
}

}  // namespace ingot
