// Numbers for Slice::id that nobody else of this process has: a backend may serve several runners.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ingot::backend {

/// The first of `count` numbers in a row. Thread safe.
inline uint64_t take_slice_ids(size_t count) {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(count);
}

}  // namespace ingot::backend
