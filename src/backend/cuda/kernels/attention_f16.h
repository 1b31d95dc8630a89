// Keys and values in f16, as attention on Hopper's tensor cores reads them: tiles of 128 keys of one sequence
// and key head, aligned to the sequence's start.
//
// f16 has tf32's significand, but few exponents: rows are scaled by powers of two. A row whose numbers are of
// the usual size takes the usual scale, and any other one of its own, so that its largest number comes to
// [2^14, 2^15). A row's scale follows from the row alone: what else lies in its tile does not touch its bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/kernels/attention.h"

namespace ingot::cuda {

constexpr int kF16TileKeys = 128;
constexpr int kF16PartKeys = 32;  // of a tile: what one block brings to f16

/// Rows with a largest magnitude in [2^kLowest, 2^kHighest) are multiplied by 2^kScale; zeros, too.
struct UsualKeys {
  static constexpr int kLowest = -12;
  static constexpr int kHighest = 10;
  static constexpr int kScale = 5;
};
struct UsualValues {
  static constexpr int kLowest = -12;
  static constexpr int kHighest = 7;
  static constexpr int kScale = 8;
};

/// What a tile consists of, in bytes from its start: keys and values in panels (warpgroup_products.cuh), rows
/// of panels are keys; a KeyScales of each key; for each part whether its keys have the usual scales: four
/// int.
template <int kHeadDim>
struct F16Tile {
  static constexpr int kHalfBytes = kF16TileKeys * kHeadDim * 2;
  static constexpr int kValues = kHalfBytes;
  static constexpr int kScales = 2 * kHalfBytes;
  static constexpr int kIsUsual = kScales + kF16TileKeys * 8;
  static constexpr int kBytes = kIsUsual + 128;
};

/// Powers of two: a product with the key is to be multiplied by `key`, a weight of the value by 2^value.
struct KeyScales {
  float key;
  float value;
};

/// Some sequences' queries, of some key heads.
struct F16Pass {
  PagedAttention attention;  // of these sequences
  char* tiles = nullptr;     // [sequences, heads, tiles_of_sequence], F16Tile
  int* begun = nullptr;      // tiles of queries that were begun beside each block's first one
  int tiles_of_sequence = 0;
  int query_tiles = 0;  // of each head, at most: run_f16_pass() finds them
  int first_head = 0;   // of kv_heads
  int heads = 0;
  bool clears_padding = false;

  bool has_tiles() const { return attention.sequences > 0 && tiles_of_sequence > 0; }
};

/// Writes the tiles that queries see, and begun = 0.
void run_f16_tiles(const Gpu& gpu, const F16Pass& pass);
/// Reads them. To be launched right behind.
void run_f16_pass(const Gpu& gpu, const F16Pass& pass);

}  // namespace ingot::cuda
