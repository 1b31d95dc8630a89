// SequencePages: the pages of one sequence, in order; given back when dropped.
//
// Holds a pointer to the cache, which must outlive it. Move only; used by one thread at a time.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "kv/paged_cache.h"

namespace ingot::kv {

class SequencePages {
 public:
  /// Room in the list, not in the cache, for `max_tokens`: growing later allocates nothing on the heap.
  SequencePages(PagedCache& cache, int64_t max_tokens) : cache_(&cache) {
    pages_.reserve(static_cast<size_t>(pages_for(max_tokens)));
  }
  ~SequencePages() { release(); }
  SequencePages(SequencePages&& other) noexcept
      : cache_(std::exchange(other.cache_, nullptr)), pages_(std::move(other.pages_)) {}
  SequencePages& operator=(SequencePages&& other) noexcept {
    if (this != &other) {
      release();
      cache_ = std::exchange(other.cache_, nullptr);
      pages_ = std::move(other.pages_);
    }
    return *this;
  }
  SequencePages(const SequencePages&) = delete;
  SequencePages& operator=(const SequencePages&) = delete;

  /// Takes pages until `tokens` fit. Errors: out_of_memory when the cache is full.
  void grow(int64_t tokens) {
    while (static_cast<int64_t>(pages_.size()) < pages_for(tokens)) pages_.push_back(cache_->take_page());
  }
  std::span<const int32_t> pages() const { return pages_; }

 private:
  void release() {
    if (cache_ == nullptr) return;
    for (int32_t page : pages_) cache_->release_page(page);
    pages_.clear();
  }

  PagedCache* cache_;
  std::vector<int32_t> pages_;
};

}  // namespace ingot::kv
