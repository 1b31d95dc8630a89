// Counts heap allocations, by replacing operator new for this test program. Sanitizers bring an operator new
// of their own: their builds are without this test.
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INGOT_OWN_OPERATOR_NEW 0
#endif
#endif
#ifndef INGOT_OWN_OPERATOR_NEW
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "base/thread_pool.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  void* data = std::malloc(bytes == 0 ? 1 : bytes);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
void operator delete(void* data) noexcept {
  std::free(data);
}
void operator delete(void* data, size_t) noexcept {
  std::free(data);
}

namespace ingot {
namespace {

TEST(ThreadPool, CallsAllocateNothing) {
  ThreadPool pool(3);
  int64_t words[8] = {};  // larger than any small-object buffer, were it copied
  std::atomic<int64_t> sum{0};
  const auto call_both = [&] {
    pool.run([&, words](int thread) { sum += thread + words[thread]; });
    pool.parallel_for(100, 7, [&, words](int64_t begin, int64_t end) { sum += end - begin + words[0]; });
  };
  call_both();  // whatever a thread sets up once
  const int64_t before = allocations;
  for (int repeat = 0; repeat < 100; ++repeat) call_both();
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(sum, 101 * (3 + 100));
  EXPECT_GT(before, 0) << "the counter counts";
}

}  // namespace
}  // namespace ingot

#endif  // INGOT_OWN_OPERATOR_NEW
