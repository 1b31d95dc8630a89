// The part of linear_prefill.h's product whose weights are in blocks: rows as 8-bit integers, integer dots.
//
// Called by run_prefill() on the pool's threads; the job's memory is laid out there.
#pragma once

#include "backend/cpu/kernels/linear_prefill.h"

namespace ingot::cpu {

constexpr int64_t kQuantised = 32;    // inputs of a row that share a scale
constexpr int64_t kBlockDepth = 512;  // inputs of a pass: a tile of 32 rows takes 24 KiB
// f32 or i32 of a row beside 32 values: the scale, -sum of either half, -scale * sum.
constexpr int64_t kRowParts = 4;

/// Floats that so many quantised rows take. `in`: a multiple of kQuantised.
constexpr int64_t quantised_floats(int64_t rows, int64_t in) {
  return rows * (in / kQuantised) * (kQuantised / 4 + kRowParts);
}

/// Quantises the rows of tile `tile`, normalised, for inputs begin … end, at most kBlockDepth of them.
/// scales: the rows' norm, as linear_prefill.cc keeps it. tiles: quantised_floats(all rows in tiles, in).
void quantise_prompt_rows(const PrefillJob& job, const float* scales, int64_t tile, int64_t begin,
                          int64_t end, float* tiles);

/// Floats that a thread needs in prefill_coded_block().
int64_t block_thread_floats(int64_t rows);

/// Outputs first … first + count of a part, all rows, where its weight, or one of a gate's two, is in blocks.
/// value_tiles, block_tiles: the rows as either kind of weight wants them. next_first: the output with which
/// the thread's next call will probably begin. scratch: block_thread_floats(rows).
void prefill_coded_block(const PrefillJob& job, const float* value_tiles, const float* block_tiles,
                         const PrefillPart& part, int64_t first, int64_t count, int64_t next_first,
                         float* scratch);

}  // namespace ingot::cpu
