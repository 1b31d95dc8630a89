#include "base/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/thread_affinity.h"

// The thread sanitizer runs a signal's handler when the thread next calls something it knows: perhaps never.
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define INGOT_SIGNALS_ARE_DEFERRED
#endif
#endif

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
  for (const int threads : {1, 2, 3, 20}) {
    ThreadPool pool(threads);
    for (const int64_t count : {1, 2, 7, 64, 65, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> touched(static_cast<size_t>(count));
        std::atomic<bool> fits{true};
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          if (begin >= end || end - begin > grain || begin % grain != 0) fits = false;
          for (int64_t i = begin; i < end; ++i) ++touched[static_cast<size_t>(i)];
        });
        EXPECT_TRUE(fits) << count << " by " << grain << " on " << threads;
        for (const auto& times : touched)
          EXPECT_EQ(times, 1) << count << " by " << grain << " on " << threads;
      }
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

TEST(ThreadPool, ChunksOfAThreadFollowEachOtherSoThatItsScratchIsItsOwn) {
  ThreadPool pool(5);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<int64_t> scratch(5);  // not atomic: two chunks of one thread must not overlap
    std::atomic<int64_t> sum{0};
    pool.parallel_for(40, 1, [&](int thread, int64_t begin, int64_t end) {
      ASSERT_TRUE(thread >= 0 && thread < 5);
      scratch[static_cast<size_t>(thread)] = begin;
      std::this_thread::yield();
      sum += scratch[static_cast<size_t>(thread)] + end - begin;
    });
    EXPECT_EQ(sum, 39 * 40 / 2 + 40);
  }
}

TEST(ThreadPool, DoneRunsOnceOnEachThreadThatTookPart) {
  ThreadPool pool(6);
  for (const int64_t chunks : {1, 2, 6, 50}) {
    std::vector<std::atomic<int>> worked(6);
    std::vector<std::atomic<int>> done(6);
    pool.parallel_for(
        chunks, 1, [&](int thread, int64_t, int64_t) { ++worked[static_cast<size_t>(thread)]; },
        [&](int thread) {
          EXPECT_GT(worked[static_cast<size_t>(thread)], 0);
          ++done[static_cast<size_t>(thread)];
        });
    for (size_t thread = 0; thread < 6; ++thread) EXPECT_EQ(done[thread], worked[thread] > 0 ? 1 : 0);
  }
}

#ifndef INGOT_SIGNALS_ARE_DEFERRED
std::atomic<bool> is_held{false};
std::atomic<bool> is_released{false};

TEST(ThreadPool, ThreadsThatDoNotComeAreNotWaitedFor) {
  constexpr int kThreads = 12;  // more than a worker's neighbours
  ThreadPool pool(kThreads);
  std::vector<pthread_t> ids(kThreads);
  pool.run([&](int thread) { ids[static_cast<size_t>(thread)] = pthread_self(); });
  // A signal handler holds a thread wherever it waits, as a scheduler does that lets others run.
  struct sigaction hold = {};
  hold.sa_handler = [](int) {
    is_held = true;
    while (!is_released) usleep(100);
  };
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGUSR1, &hold, &before), 0);
  for (const auto& absent : {std::vector<int>{5}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {11}}) {
    is_released = false;
    for (const int thread : absent) {
      is_held = false;
      ASSERT_EQ(pthread_kill(ids[static_cast<size_t>(thread)], SIGUSR1), 0);
      while (!is_held) std::this_thread::yield();
    }
    for (const int64_t chunks : {2, 12, 100}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(chunks));
      std::atomic<bool> is_absent_at_work{false};
      pool.parallel_for(chunks, 1, [&](int thread, int64_t begin, int64_t) {
        if (std::find(absent.begin(), absent.end(), thread) != absent.end()) is_absent_at_work = true;
        ++runs[static_cast<size_t>(begin)];
      });
      EXPECT_FALSE(is_absent_at_work);
      for (const auto& times : runs) EXPECT_EQ(times, 1);
      EXPECT_THROW(
          pool.parallel_for(chunks, 1, [](int64_t, int64_t) { throw std::runtime_error("a chunk"); }),
          std::runtime_error);
    }
    is_released = true;
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });  // which waits for everyone
    EXPECT_EQ(calls, kThreads);
  }
  sigaction(SIGUSR1, &before, nullptr);
}
#endif

TEST(ThreadPool, LateThreadsNeverRunAFinishedJob) {
  ThreadPool pool(16);
  for (int job = 0; job < 3000; ++job) {
    std::atomic<int> alive{1};  // on this frame: a late thread would read a dead or another job's
    std::atomic<int> chunks{0};
    pool.parallel_for(16, 1, [&](int64_t, int64_t) { chunks += alive; });
    ASSERT_EQ(chunks, 16);
    alive = 0;
    if (job % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // some park meanwhile
  }
}

TEST(ThreadPool, JobsOfEveryKindFollowEachOther) {
  ThreadPool pool(7);
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls, 7);
    pool.parallel_for(round % 9 + 1, 1, [&](int64_t, int64_t) { ++calls; });
    EXPECT_EQ(calls, 7 + round % 9 + 1);
    EXPECT_THROW(pool.parallel_for(9, 1, [](int64_t, int64_t) { throw std::runtime_error("each"); }),
                 std::runtime_error);
  }
}

TEST(ThreadPool, PinnedThreadsStayAndTheCallerGoesBack) {
  const auto before = allowed_cpus();
  if (!can_pin()) GTEST_SKIP() << "this system cannot pin threads";
  {
    const std::vector<int> cpus = {before->back(), before->front(), before->front()};
    ThreadPool pool(3, cpus);
    std::vector<std::vector<int>> places(3);
    pool.run([&](int thread) { places[static_cast<size_t>(thread)] = *allowed_cpus(); });
    for (size_t thread = 0; thread < 3; ++thread)
      EXPECT_THAT(places[thread], testing::ElementsAre(cpus[thread]));
  }
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(ThreadPool, CallerGoesBackEvenIfAnotherThreadEndsThePool) {
  const auto before = allowed_cpus();
  if (!can_pin()) GTEST_SKIP() << "this system cannot pin threads";
  const std::vector<int> cpus = {before->front()};
  auto pool = std::make_unique<ThreadPool>(1, cpus);
  EXPECT_THAT(*allowed_cpus(), testing::ElementsAre(before->front()));
  std::thread([&] { pool.reset(); }).join();
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(ThreadPool, PlaceThatTheSystemRefusesIsNamedAndNothingStaysPinned) {
  const auto before = allowed_cpus();
  if (!can_pin()) GTEST_SKIP() << "this system cannot pin threads";
  for (const std::vector<int>& cpus :
       {std::vector<int>{before->front(), 60000}, std::vector<int>{60000, before->front()}}) {
    try {
      ThreadPool pool(2, cpus);
      FAIL() << "no throw";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_THAT(error.what(), testing::HasSubstr("60000"));
    }
    EXPECT_EQ(allowed_cpus(), before);
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
