// PagedCache: the keys and values of all layers in one pool of pages (Kwon et al., 2023), and who has which
// page.
//
// Address space is reserved for every page; memory is touched when a token is written. Page 0 belongs to
// nobody: padding writes there. Used by one thread at a time.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/array.h"
#include "kv/page_layout.h"

namespace ingot::kv {

class PagedCache {
 public:
  /// Room for `pages` pages beside page 0. Errors: out_of_memory where the address space is refused.
  PagedCache(const PageLayout& layout, int64_t pages);

  /// Takes a free page. Errors: out_of_memory when none is left.
  int32_t take_page();
  void release_page(int32_t page);

  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  /// Most pages taken at once so far.
  int64_t peak_pages() const { return total_pages_ - 1 - least_free_; }
  /// Pages of each array, page 0 included: what Symbol::cache_pages binds to.
  int64_t total_pages() const { return total_pages_; }
  const PageLayout& layout() const { return layout_; }
  /// Bytes reserved for all pages.
  int64_t bytes() const { return total_pages_ * kPageTokens * layout_.token_bytes(); }

  /// The arrays by the names of the graph's states: "keys.0", "values.0", "keys.1" …
  const std::map<std::string, Array, std::less<>>& states() const { return states_; }

 private:
  PageLayout layout_;
  int64_t total_pages_;
  int64_t least_free_ = 0;
  std::vector<int32_t> free_;  // a stack: the page given back last is the warmest
  std::map<std::string, Array, std::less<>> states_;
};

std::string keys_name(int64_t layer);
std::string values_name(int64_t layer);

}  // namespace ingot::kv
