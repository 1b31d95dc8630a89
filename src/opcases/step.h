// A ragged step over a paged cache, as the engine would bring it: what attention and kv_write read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "opcases/cases.h"

namespace ingot::opcases {

/// One sequence's part of a step.
struct StepPart {
  int64_t rows = 1;     // new tokens
  int64_t context = 1;  // tokens in the cache, the new ones included
};

struct PagedStep {
  std::vector<int32_t> seq_start;    // [S+1]
  std::vector<int32_t> context_len;  // [S]
  std::vector<int32_t> block_table;  // [S, P]
  std::vector<int32_t> slots;        // [T]
  std::vector<int32_t> positions;    // [T]
  DimValues dims;                    // T, S, P, C

  /// Pages lie scattered in the cache, page 0 apart, and `padding` rows of no sequence follow.
  PagedStep(const std::vector<StepPart>& parts, int64_t page_tokens, int64_t padding = 0) {
    const auto pages_of = [&](int64_t tokens) { return (tokens + page_tokens - 1) / page_tokens; };
    int64_t rows = 0;
    int64_t most = 0;
    int64_t all = 0;
    for (const StepPart& part : parts) {
      rows += part.rows;
      most = std::max(most, pages_of(part.context));
      all += pages_of(part.context);
    }
    dims[Symbol::tokens] = rows + padding;
    dims[Symbol::sequences] = static_cast<int64_t>(parts.size());
    dims[Symbol::pages] = most;
    dims[Symbol::cache_pages] = all + 2;  // the dummy and one that nobody has
    // A multiplier coprime to the pages is a permutation of them.
    int64_t stride = all / 2 + 1;
    while (std::gcd(stride, std::max<int64_t>(all, 1)) != 1) ++stride;
    int64_t taken = 0;
    seq_start.push_back(0);
    for (const StepPart& part : parts) {
      std::vector<int32_t> pages(static_cast<size_t>(most), 0);
      for (int64_t p = 0; p < pages_of(part.context); ++p) {
        pages[static_cast<size_t>(p)] = static_cast<int32_t>(1 + taken++ * stride % all);
      }
      for (int64_t position = part.context - part.rows; position < part.context; ++position) {
        const int32_t page = pages[static_cast<size_t>(position / page_tokens)];
        slots.push_back(static_cast<int32_t>(page * page_tokens + position % page_tokens));
        positions.push_back(static_cast<int32_t>(position));
      }
      block_table.insert(block_table.end(), pages.begin(), pages.end());
      seq_start.push_back(static_cast<int32_t>(slots.size()));
      context_len.push_back(static_cast<int32_t>(part.context));
    }
    for (int64_t r = 0; r < padding; ++r) {
      slots.push_back(static_cast<int32_t>(r % page_tokens));  // the dummy page
      positions.push_back(0);
    }
  }
};

/// 17 sequences of 1 … 3 new rows whose contexts lie on both sides of a page's end.
inline std::vector<StepPart> seventeen(int64_t page_tokens) {
  std::vector<StepPart> parts;
  for (int64_t s = 0; s < 17; ++s) {
    const int64_t rows = 1 + s % 3;
    parts.push_back({.rows = rows, .context = rows + s * page_tokens / 3 + s % 2});
  }
  return parts;
}

}  // namespace ingot::opcases
