#include "kv/paged_cache.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/check.h"
#include "memory/buffer.h"

namespace ingot::kv {
namespace {

/// Zero bytes that the system provides page by page as they are touched.
Array reserve(const Shape& shape) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * sizeof(float);
  void* data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    fail(ErrorCode::out_of_memory, "KV cache: cannot reserve {} bytes of address space", bytes);
  return Array::owning(Buffer(static_cast<std::byte*>(data), bytes,
                              [](std::byte* mapped, size_t size) { ::munmap(mapped, size); }),
                       DType::f32, shape);
}

}  // namespace

std::string keys_name(int64_t layer) {
  return fmt::format("keys.{}", layer);
}
std::string values_name(int64_t layer) {
  return fmt::format("values.{}", layer);
}

PagedCache::PagedCache(const PageLayout& layout, int64_t pages)
    : layout_(layout), total_pages_(pages + 1), least_free_(pages) {
  INGOT_CHECK(pages >= 0 && total_pages_ < INT32_MAX / kPageTokens, "a KV cache of {} pages", pages);
  for (int64_t page = pages; page >= 1; --page) free_.push_back(static_cast<int32_t>(page));
  const Shape shape{total_pages_, layout.kv_heads, kPageTokens, layout.head_dim};
  for (int64_t layer = 0; layer < layout.layers; ++layer) {
    states_.emplace(keys_name(layer), reserve(shape));
    states_.emplace(values_name(layer), reserve(shape));
  }
}

int32_t PagedCache::take_page() {
  if (free_.empty()) {
    fail(ErrorCode::out_of_memory, "KV cache: all {} pages of {} tokens are in use", total_pages_ - 1,
         kPageTokens);
  }
  const int32_t page = free_.back();
  free_.pop_back();
  least_free_ = std::min(least_free_, free_pages());
  return page;
}

void PagedCache::release_page(int32_t page) {
  INGOT_CHECK(page > 0 && page < total_pages_ && free_.size() < free_.capacity(), "KV cache: page {}", page);
  free_.push_back(page);  // within the capacity: allocates nothing
}

}  // namespace ingot::kv
