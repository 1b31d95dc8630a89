// Which product multiplies which weight: by its type, its order and the width of the rows alone.
#pragma once

#include "backend/backend.h"
#include "ingot/dtype.h"

namespace ingot::cuda {

enum class LinearProduct : uint8_t {
  skinny,   // 16-bit rows and weights on tensor cores, few rows
  library,  // the library's product of operands of one type
  decoded,  // blocks as bf16, then the library's
  blocks,   // 8-bit rows, few of them
  plain,    // f32 rows with anything
};

LinearProduct decode_product(DType weight, bool is_in_out, int64_t in);
/// `out`: outputs of the weight.
LinearProduct prefill_product(DType weight, bool is_in_out, int64_t in, int64_t out);

// Predicates of the kernel table, for every op of linears. Each takes what those before it in its list leave:
// kernels round their operands by the types of the weights.
//
// Generated tokens: no operand is rounded (but rows of 8-bit integers, which op cases know); f16 rows; bf16
// rows.
bool supports_linear_decode_exact(const backend::KernelQuery& query);
bool supports_linear_decode_f16(const backend::KernelQuery& query);
bool supports_linear_decode(const backend::KernelQuery& query);
// Prompts: no operand is rounded; f16 rows; bf16 rows; bf16 rows with weights rounded to bf16.
bool supports_linear_prefill_exact(const backend::KernelQuery& query);
bool supports_linear_prefill_f16(const backend::KernelQuery& query);
bool supports_linear_prefill_bf16(const backend::KernelQuery& query);
bool supports_linear_prefill(const backend::KernelQuery& query);

// The largest relative errors of the roundings: half of the last place of each operand.
inline constexpr double kF16Rounding = 0x1p-11;
inline constexpr double kBf16Rounding = 0x1p-8;
inline constexpr double kDecodedRounding = kBf16Rounding;  // of rows and of weights

}  // namespace ingot::cuda
