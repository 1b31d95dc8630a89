#include "base/thread_pool.h"

#include <chrono>
#include <system_error>

#include "base/check.h"

namespace ingot {
namespace {

// How long a thread looks for work without giving its CPU away: longer than the gap between two ops of a step
// (a few microseconds). A thread that yields beside another process is away for that one's whole time slice:
// a worker that yielded at once had next to nothing of a CPU that it shared (bench_base, job_stream).
constexpr auto kQuietTime = std::chrono::microseconds(20);
// With yields in between, until it parks. Far shorter than a time slice.
constexpr auto kSpinTime = std::chrono::microseconds(40);
// About a microsecond: a pause takes 10 to 150 cycles, depending on the processor.
constexpr int kPausesPerRound = 32;
// Neighbours whose first chunks a thread looks for at its end. The caller looks for everyone's: here a look
// at each of many threads would take longer than the chunks that are worth taking.
constexpr int kNeighbours = 8;

// What a worker and its caller are about. A thief, which is the caller or a worker of the same job, may take
// an offer back: that thread is then not part of the job, and all that it may touch is its own state.
//
//   idle ── caller offers ──► offered ── worker claims ──► taken ── worker has finished ──► idle
//   idle ── worker parks ──► parked ── caller offers and wakes ──► offered ── thief takes over ──► idle
enum State : uint32_t { kIdle, kParked, kOffered, kTaken, kStopping };
// Beside offered or taken: the caller has parked and is to be woken when the worker is idle.
constexpr uint32_t kAwaited = 8;

thread_local bool in_job = false;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Spins while the state is one that `is_unchanged` names, after `quiet` letting others run in between; false
// when it is time to park. The yields matter where two threads of the pool share a processor: each would wait
// out the other's spin.
template <class F>
bool spin(const std::atomic<uint32_t>& state, uint32_t& seen, std::chrono::microseconds quiet,
          const F& is_unchanged) {
  const auto changes = [&] {
    for (int i = 0; i < kPausesPerRound; ++i) {
      seen = state.load(std::memory_order_acquire);
      if (!is_unchanged(seen)) return true;
      pause_cpu();
    }
    return false;
  };
  if (changes()) return true;
  const auto start = std::chrono::steady_clock::now();
  for (auto now = start; now - start < kSpinTime; now = std::chrono::steady_clock::now()) {
    if (now - start >= quiet) std::this_thread::yield();
    if (changes()) return true;
  }
  return false;
}

// Claims an offer; false: there is none, or stop.
bool claim(std::atomic<uint32_t>& state) {
  uint32_t seen = kIdle;
  for (;;) {
    if (!spin(state, seen, kQuietTime, [](uint32_t now) { return now == kIdle; })) {
      seen = kIdle;
      if (state.compare_exchange_strong(seen, kParked)) state.wait(kParked);
      continue;
    }
    if (seen == kStopping) return false;
    if (state.compare_exchange_strong(seen, kTaken | (seen & kAwaited), std::memory_order_acquire))
      return true;
  }
}

// Marks this thread as inside a job, so that a nested call is refused instead of waiting for itself.
class InJob {
 public:
  InJob() { in_job = true; }
  ~InJob() { in_job = false; }
  InJob(const InJob&) = delete;
  InJob& operator=(const InJob&) = delete;
};

size_t checked_workers(int threads, std::span<const int> cpus) {
  if (threads < 1 || threads > ThreadPool::kMaxThreads) {
    fail(ErrorCode::invalid_argument, "threads: expected 1 to {}, found {}", ThreadPool::kMaxThreads,
         threads);
  }
  INGOT_CHECK(cpus.empty() || cpus.size() == static_cast<size_t>(threads), "{} CPUs for {} threads",
              cpus.size(), threads);
  return static_cast<size_t>(threads - 1);
}

}  // namespace

ThreadPool::ThreadPool(int threads, std::span<const int> cpus)
    : threads_(threads), workers_(checked_workers(threads, cpus)) {
  int started = 0;
  try {
    for (int thread = 1; thread < threads; ++thread) {
      worker(thread).thread = std::thread([this, thread] { work(thread); });
      ++started;
      if (!cpus.empty()) pin(worker(thread).thread, cpus[static_cast<size_t>(thread)]);
    }
    // Last: threads inherit where they may run.
    if (!cpus.empty()) caller_place_.pin(cpus[0]);
  } catch (const std::system_error& error) {
    stop();
    fail(ErrorCode::out_of_memory, "threads: expected to start {}, the system refused after {}: {}",
         threads - 1, started, error.what());
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  for (Worker& worker : workers_) {
    if (!worker.thread.joinable()) continue;
    if (worker.state.exchange(kStopping) == kParked) worker.state.notify_one();
    worker.thread.join();
  }
}

int64_t ThreadPool::chunk_count(int64_t count, int64_t grain) {
  INGOT_CHECK(grain >= 1, "parallel_for needs a grain of at least 1, found {}", grain);
  return count <= 0 ? 0 : 1 + (count - 1) / grain;
}

void ThreadPool::run_job(Job job, void* context, int team, Late late) {
  if (team == 1) return run_alone(job, context);
  INGOT_CHECK(!in_job, "a job of a thread pool may not start another");
  const std::lock_guard turn(callers_);
  const InJob mark;
  next_chunk_.store(team, std::memory_order_relaxed);
  for (int thread = 1; thread < team; ++thread) offer(thread, job, context);
  call(job, context, 0);
  for (int thread = 1; thread < team; ++thread) join(thread, late);
  if (failing()) {
    failed_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void ThreadPool::run_alone(Job job, void* context) {
  INGOT_CHECK(!in_job, "a job of a thread pool may not start another");
  const std::lock_guard turn(callers_);
  const InJob mark;
  next_chunk_.store(1, std::memory_order_relaxed);
  job(context, 0);
}

void ThreadPool::call(Job job, void* context, int thread) {
  try {
    job(context, thread);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

void ThreadPool::offer(int thread, Job job, void* context) {
  Worker& to = worker(thread);
  to.job = job;
  to.context = context;
  if (to.state.exchange(kOffered) == kParked) to.state.notify_one();
}

/// The next thread, at `step` or more from this one, that has not begun its first chunk, which is now ours;
/// 0: there is none.
int ThreadPool::take_over(int thread, int team, int& step) {
  const int steps = thread == 0 ? team - 1 : std::min(team - 1, kNeighbours);
  for (; step <= steps && !failing(); ++step) {
    const int other = (thread + step) % team;
    if (other == 0) continue;  // the caller is here
    std::atomic<uint32_t>& state = worker(other).state;
    uint32_t offered = kOffered;
    if (state.load(std::memory_order_relaxed) == kOffered &&
        state.compare_exchange_strong(offered, kIdle, std::memory_order_relaxed)) {
      return other;
    }
  }
  return 0;
}

/// Returns when the thread has nothing to do with the job, and sees what it wrote.
void ThreadPool::join(int thread, Late late) {
  std::atomic<uint32_t>& state = worker(thread).state;
  uint32_t seen = state.load(std::memory_order_acquire);
  // Chunks dropped after an exception.
  if (late == Late::replaced && seen == kOffered) {
    state.compare_exchange_strong(seen, kIdle, std::memory_order_acquire);
  }
  const auto is_busy = [](uint32_t now) { return now != kIdle && now != kParked; };
  // A thread that has not come may be waiting for this very CPU.
  const auto quiet = (seen & ~kAwaited) == kOffered ? std::chrono::microseconds(0) : kQuietTime;
  while (!spin(state, seen, quiet, is_busy)) {
    if (state.compare_exchange_strong(seen, seen | kAwaited)) state.wait(seen | kAwaited);
  }
}

void ThreadPool::work(int thread) {
  in_job = true;
  Worker& self = worker(thread);
  while (claim(self.state)) {
    call(self.job, self.context, thread);
    if ((self.state.exchange(kIdle) & kAwaited) != 0) self.state.notify_one();
  }
}

}  // namespace ingot
