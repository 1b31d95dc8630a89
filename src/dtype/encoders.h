// Every encoder, and encode() by DType.
//
// What they have in common: values that are NaN count as 0, values beyond the format's reach (infinities too)
// as the largest it has, so every block decodes to finite values; callers that want to refuse such values
// look for them beforehand. A block's bits depend on its own values alone, on every machine.
#pragma once

#include "dtype/encode_q4_k.h"  // IWYU pragma: export
#include "dtype/encode_q6_k.h"  // IWYU pragma: export
#include "dtype/formats.h"      // IWYU pragma: export

namespace ingot::dtype {

/// Encodes `count` values, whole blocks, into blocks of a format. Returns false, with nothing written, where
/// Ingot has no encoder for it. Host only; threads may encode different blocks at once.
inline bool encode(DType dtype, const float* values, int64_t count, void* to) {
  bool encodes = false;
  with_blocks(dtype, to, [&]<class Block>(const Block* blocks) {
    if constexpr (requires(Block* block) { encode(values, block); }) {
      for (int64_t i = 0; i < count / Block::kElements; ++i)
        encode(values + i * Block::kElements, const_cast<Block*>(blocks) + i);
      encodes = true;
    }
  });
  return encodes;
}

inline bool has_encoder(DType dtype) {
  return encode(dtype, nullptr, 0, nullptr);
}

}  // namespace ingot::dtype
