// The order of the rows that make queries and keys.
//
// Hugging Face's checkpoints rotate the first half of a head's dimensions against the second; llama.cpp's
// `llama` architecture rotates neighbours, and its converter moves the rows of attn_q and attn_k so that the
// pairs of halves become neighbours. Both orders give the same attention; only the order of a sum differs.
//
// Pure functions, thread safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot::format {

enum class RowOrder : uint8_t {
  kept,
  to_halves,      // from neighbours (GGUF, architecture llama) to halves (Hugging Face)
  to_neighbours,  // and back
};

/// Copies the `rows` (even) rows of one head from `from` to `to`, which do not overlap. A row may be a row of
/// quantised blocks or one element of a bias.
void reorder_head(std::span<const std::byte> from, std::byte* to, int64_t rows, RowOrder order);

}  // namespace ingot::format
