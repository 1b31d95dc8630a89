// Skinny linears of one row.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_skinny.h"
#include "backend/cuda/kernels/sample.h"

namespace ingot::cuda {

/// Whether there is a kernel for one row of so many values, and whether it also prepares the row.
bool has_linear_one_row(const Gpu& gpu, int64_t in);
bool prepares_one_row(const Gpu& gpu, int64_t in);

/// Whether it also places the heads of linear_qkv.
bool places_heads_of_one_row(const Gpu& gpu, const LinearHeads& heads);

/// How many of its blocks share a multiprocessor, and outputs of a tile; of heads with norms, how many
/// multiply each. The bits are the same.
enum class OneRowForm : uint8_t {
  two_blocks_8,
  two_blocks_16,
  one_deep_8,
  one_deep_16,
  heads_by_4,
  heads_by_8
};
inline constexpr size_t kOneRowForms = 6;
constexpr std::string_view to_string(OneRowForm form) {
  constexpr std::string_view kNames[kOneRowForms] = {"2 blocks, 8 outputs",     "2 blocks, 16 outputs",
                                                     "1 deep block, 8 outputs", "1 deep block, 16 outputs",
                                                     "4 blocks a head",         "8 blocks a head"};
  return kNames[static_cast<size_t>(form)];
}
/// Those that there are for a linear, and what is taken where nobody chose.
std::vector<OneRowForm> one_row_forms(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads);
OneRowForm one_row_rule(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads);

/// Runs it with the bits of linear_skinny.h. `row`: what is still to be prepared, in place of linear.x and
/// linear.row_scales; none where its x is null. `heads`: to be placed, in place of what linear.parts say of
/// outputs; none where it has no heads. `watch`: of the outputs of the only part, which is not gated; none
/// where it has no bests; its count is at least twice the multiprocessors. `form`: one of one_row_forms().
void run_linear_one_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                        const LinearHeads& heads, const LogitsWatch& watch, OneRowForm form);

}  // namespace ingot::cuda
