#include "base/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/check.h"

namespace ingot {
namespace {

TEST(ThreadPool, RunCallsEveryThreadIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    std::vector<int> calls(static_cast<size_t>(threads));
    for (int repeat = 0; repeat < 100; ++repeat)
      pool.run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    EXPECT_THAT(calls, testing::Each(100));
  }
}

TEST(ThreadPool, CallerIsThreadZeroAndTheOthersAreNot) {
  ThreadPool pool(4);
  std::vector<std::thread::id> ids(4);
  pool.run([&](int thread) { ids[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), 4U);
}

TEST(ThreadPool, OneThreadRunsOnTheCallerOnly) {
  ThreadPool pool(1);
  std::thread::id id;
  pool.run([&](int) { id = std::this_thread::get_id(); });
  EXPECT_EQ(id, std::this_thread::get_id());
}

TEST(ThreadPool, WakesAfterItsThreadsHaveParked) {
  ThreadPool pool(3);
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> calls{0};
    pool.run([&](int thread) {
      if (thread == 2) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // the caller parks too
      ++calls;
    });
    EXPECT_EQ(calls, 3);
  }
}

TEST(ThreadPool, ParallelForCoversEveryIndexOnceInChunksOfAtMostTheGrain) {
  ThreadPool pool(3);
  for (const int64_t count : {1, 2, 7, 64, 65, 1000}) {
    for (const int64_t grain : {1, 3, 64, 5000}) {
      std::vector<std::atomic<int>> touched(static_cast<size_t>(count));
      std::atomic<bool> fits{true};
      pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        if (begin >= end || end - begin > grain || begin % grain != 0) fits = false;
        for (int64_t i = begin; i < end; ++i) ++touched[static_cast<size_t>(i)];
      });
      EXPECT_TRUE(fits) << count << " by " << grain;
      for (const auto& times : touched) EXPECT_EQ(times, 1) << count << " by " << grain;
    }
  }
}

TEST(ThreadPool, ParallelForOfNothingCallsNothing) {
  ThreadPool pool(2);
  int calls = 0;
  pool.parallel_for(0, 4, [&](int64_t, int64_t) { ++calls; });
  pool.parallel_for(-3, 4, [&](int64_t, int64_t) { ++calls; });
  EXPECT_EQ(calls, 0);
}

TEST(ThreadPool, ParallelForOfOneChunkRunsOnTheCaller) {
  ThreadPool pool(2);
  std::thread::id id;
  pool.parallel_for(8, 8, [&](int64_t, int64_t) { id = std::this_thread::get_id(); });
  EXPECT_EQ(id, std::this_thread::get_id());
}

TEST(ThreadPool, ParallelForDoesNotOverflowAtTheLargestCount) {
  ThreadPool pool(2);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> last{0};
  std::atomic<int> calls{0};
  pool.parallel_for(kMost, kMost / 2, [&](int64_t, int64_t end) {
    ++calls;
    int64_t seen = last;
    while (seen < end && !last.compare_exchange_weak(seen, end)) {
    }
  });
  EXPECT_EQ(last, kMost);
  EXPECT_EQ(calls, 3);
}

TEST(ThreadPool, GrainBelowOneIsRefused) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(4, 0, [](int64_t, int64_t) {}), Error);
}

TEST(ThreadPool, ExceptionOfAWorkerIsRethrownAtTheJoinAndThePoolGoesOn) {
  ThreadPool pool(3);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<int> finished{0};
    try {
      pool.run([&](int thread) {
        if (thread == 2) throw std::runtime_error("thread two");
        ++finished;
      });
      FAIL() << "no throw";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "thread two");
    }
    EXPECT_EQ(finished, 2);
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls, 3);
  }
}

TEST(ThreadPool, FirstOfSeveralExceptionsWins) {
  ThreadPool pool(2);
  std::atomic<bool> caller_threw{false};
  try {
    pool.run([&](int thread) {
      if (thread == 0) {
        caller_threw = true;
        throw std::runtime_error("first");
      }
      while (!caller_threw) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the caller's exception has been recorded
      throw std::runtime_error("second");
    });
    FAIL() << "no throw";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
}

TEST(ThreadPool, ParallelForDropsChunksAfterAnException) {
  ThreadPool pool(2);
  std::atomic<int64_t> done{0};
  const auto job = [&](int64_t begin, int64_t) {
    if (begin == 0) throw std::runtime_error("chunk zero");
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    ++done;
  };
  EXPECT_THROW(pool.parallel_for(100'000, 1, job), std::runtime_error);
  EXPECT_LT(done, 99'999);  // all of them would take five seconds
}

TEST(ThreadPool, NestedCallsAreRefusedOnEveryThreadAndAtEveryThreadCount) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ThreadPool other(2);
    for (int nesting = 0; nesting < threads; ++nesting) {
      for (ThreadPool* inner : {&pool, &other}) {
        try {
          pool.run([&](int thread) {
            if (thread == nesting) inner->run([](int) {});
          });
          FAIL() << "no throw";
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::internal);
          EXPECT_THAT(error.what(), testing::HasSubstr("may not start another"));
        }
      }
    }
    int calls = 0;
    other.run([&](int thread) {  // the mark is taken off again
      if (thread == 0) ++calls;
    });
    EXPECT_EQ(calls, 1);
  }
}

TEST(ThreadPool, ConcurrentCallersTakeTurns) {
  ThreadPool pool(2);
  int64_t sum = 0;  // not atomic: jobs must not overlap
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        pool.run([&](int thread) {
          if (thread == 1) ++sum;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 800);
}

TEST(ThreadPool, WritesOfAJobAreVisibleToTheCallerAndToTheNextJob) {
  ThreadPool pool(4);
  std::vector<int64_t> values(4, 1);
  for (int step = 0; step < 500; ++step) {
    std::vector<int64_t> next(4);
    pool.run([&](int thread) {
      const auto t = static_cast<size_t>(thread);
      next[t] = (values[t] + values[(t + 1) % 4]) % 1009;
    });
    values = next;
  }
  EXPECT_EQ(values, (std::vector<int64_t>(4, values[0])));
}

TEST(ThreadPool, ThreadCountOutsideItsRangeIsNamed) {
  for (const int threads : {-1, 0, ThreadPool::kMaxThreads + 1}) {
    try {
      ThreadPool pool(threads);
      FAIL() << "no throw";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(threads)));
    }
  }
}

}  // namespace
}  // namespace ingot
