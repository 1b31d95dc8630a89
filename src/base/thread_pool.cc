#include "base/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace ingot {
namespace {

// Longer than the gap between two ops of a step (a few microseconds), far shorter than a scheduler's time
// slice.
constexpr auto kSpinTime = std::chrono::microseconds(40);
// About a microsecond: a pause takes 10 to 150 cycles, depending on the processor.
constexpr int kPausesPerRound = 32;

thread_local bool in_job = false;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Returns once `value` differs from `old` (with acquire order): spins, then lets others run in between, then
// parks. The yields matter where two threads of the pool share a processor: each would wait out the other's
// spin, and a fork-join would take 90 us instead of 5.
uint32_t wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  for (;;) {
    for (int i = 0; i < kPausesPerRound; ++i) {
      const uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      pause_cpu();
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::yield();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// Marks this thread as inside a job, so that a nested call is refused instead of waiting for itself.
class InJob {
 public:
  InJob() { in_job = true; }
  ~InJob() { in_job = false; }
  InJob(const InJob&) = delete;
  InJob& operator=(const InJob&) = delete;
};

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  if (threads < 1 || threads > kMaxThreads) {
    fail(ErrorCode::invalid_argument, "threads: expected 1 to {}, found {}", kMaxThreads, threads);
  }
  try {
    workers_.reserve(static_cast<size_t>(threads - 1));
    for (int thread = 1; thread < threads; ++thread)
      workers_.emplace_back([this, thread] { worker(thread); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size();
    stop();
    fail(ErrorCode::out_of_memory, "threads: expected to start {}, the system refused after {}: {}",
         threads - 1, started, error.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  stopping_ = true;
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

int64_t ThreadPool::chunk_count(int64_t count, int64_t grain) {
  INGOT_CHECK(grain >= 1, "parallel_for needs a grain of at least 1, found {}", grain);
  return count <= 0 ? 0 : 1 + (count - 1) / grain;
}

void ThreadPool::run_job(Job job, void* context) {
  if (threads_ == 1) return run_alone(job, context);
  INGOT_CHECK(!in_job, "a job of a thread pool may not start another");
  const std::lock_guard turn(callers_);
  const InJob mark;
  job_ = job;
  context_ = context;
  failed_.store(false, std::memory_order_relaxed);
  running_.store(static_cast<uint32_t>(threads_ - 1), std::memory_order_relaxed);
  // Sequentially consistent: a worker that parks either sees this epoch or is seen as parked by notify_all.
  epoch_.fetch_add(1);
  epoch_.notify_all();

  call(0);
  for (uint32_t left = running_.load(std::memory_order_acquire); left != 0;) {
    left = wait_while_equal(running_, left);
  }
  if (failing()) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::run_alone(Job job, void* context) {
  INGOT_CHECK(!in_job, "a job of a thread pool may not start another");
  const std::lock_guard turn(callers_);
  const InJob mark;
  job(context, 0);
}

void ThreadPool::call(int thread) {
  try {
    job_(context_, thread);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

void ThreadPool::worker(int thread) {
  in_job = true;
  uint32_t seen = 0;
  for (;;) {
    wait_while_equal(epoch_, seen);
    // Not the value read: a job ends only when every worker has finished it, so none can be missed.
    ++seen;
    if (stopping_) return;
    call(thread);
    if (running_.fetch_sub(1) == 1) running_.notify_one();
  }
}

}  // namespace ingot
