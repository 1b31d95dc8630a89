// How keys and values lie in the cache: pages of a fixed number of tokens.
#pragma once

#include <cstdint>

namespace ingot::kv {

/// Tokens of a page. A multiple of the attention kernels' block of keys, small enough that a short sequence
/// wastes little: at most 31 tokens.
inline constexpr int64_t kPageTokens = 32;

/// One layer's keys, or values: f32 [pages, kv_heads, kPageTokens, head_dim].
struct PageLayout {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  /// Bytes of one token's keys and values in all layers.
  int64_t token_bytes() const { return layers * 2 * kv_heads * head_dim * 4; }
};

constexpr int64_t pages_for(int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace ingot::kv
