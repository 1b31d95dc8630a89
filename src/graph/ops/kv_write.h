// kv_write: puts the step's keys (or values) into the paged KV cache and returns the cache's new version.
//
// The storage stays the same; attention reads the new version, so no pass can reorder or drop the write.
#pragma once

#include "graph/graph.h"

namespace ingot::graph {

/// Page 0 of every cache belongs to nobody: rows that pad a step write there.
inline constexpr int32_t kDummyPage = 0;

/// cache: f32 [C, kv_heads, page_tokens, head_dim]; x: f32 [T, kv_heads, head_dim];
/// slots: i32 [T], slot = page * page_tokens + place in the page. Rows of a step have distinct slots, but for
/// padding. Returns the cache's new version.
Value kv_write(Graph& graph, Value cache, Value x, Value slots, std::string label = {});

}  // namespace ingot::graph
