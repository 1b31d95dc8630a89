// A fixed team of threads for fork-join work: the caller is thread 0, the pool owns the others.
//
// Idle threads spin for a moment and then park, so that the many short jobs of one step start in less than a
// microsecond and an idle pool costs nothing. A call allocates nothing on the heap. parallel_for() waits for
// chunks, not for threads: one that the system has not let run holds nothing up, the others take its chunks.
//
// Thread safety: any thread may call run() and parallel_for(). One job runs at a time; concurrent callers
// wait for their turn (in no fixed order). A call from inside a job, of this pool or any other, is refused
// (Error{internal}): it could wait for itself. The destructor must not run beside a call.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/thread_affinity.h"

namespace ingot {

class ThreadPool {  // NOLINT(clang-analyzer-optin.performance.Padding): it keeps cache lines apart
 public:
  /// The most threads a pool may have.
  static constexpr int kMaxThreads = 1024;

  /// Starts `threads` - 1 threads, as many as asked for, whatever room the machine has. With `cpus`, as many,
  /// thread t runs on cpus[t] only; thread 0, which is the one that makes the pool, until the pool is
  /// destroyed. Errors: invalid_argument outside [1, kMaxThreads] or for a CPU that a thread may not run on,
  /// out_of_memory where the system refuses a thread.
  explicit ThreadPool(int threads, std::span<const int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// Threads that may take part in a job, the caller included.
  int threads() const { return threads_; }

  /// Calls f(thread) once for every thread in [0, threads()) and returns when all calls have: it waits for
  /// each thread to get its turn, so work that any thread may do belongs in parallel_for(). What the calls
  /// wrote is visible to the caller. If calls throw, the first exception is rethrown here after the join.
  template <class F>
  void run(F&& f) {
    auto call = [&f](int thread) { f(thread); };
    run_job([](void* context, int thread) { (*static_cast<decltype(call)*>(context))(thread); }, &call,
            threads_, Late::awaited);
  }

  /// Calls f(begin, end) or f(thread, begin, end) for chunks of at most `grain` indices that cover
  /// [0, count), and returns when all are done. Each thread runs one chunk at a time, so what is kept by
  /// `thread` is its own. Thread t begins with chunk t; then threads take chunks as they become free, and in
  /// the end the first chunks of those that have not come. So which thread runs a chunk differs between runs;
  /// the chunks themselves do not. One chunk runs on the caller alone. After an exception, chunks not yet
  /// begun are dropped. `done(thread)` runs on each thread that took part, when no chunk is left for it.
  template <class F>
  void parallel_for(int64_t count, int64_t grain, F&& f) {
    parallel_for(count, grain, std::forward<F>(f), [](int) {});
  }
  template <class F, class Done>
  void parallel_for(int64_t count, int64_t grain, F&& f, Done&& done) {
    const int64_t chunks = chunk_count(count, grain);
    if (chunks == 0) return;
    auto run_chunk = [&](int thread, int64_t chunk) {
      const int64_t begin = chunk * grain;
      const int64_t end = count - begin < grain ? count : begin + grain;
      if constexpr (std::is_invocable_v<F&, int, int64_t, int64_t>) {
        f(thread, begin, end);
      } else {
        f(begin, end);
      }
    };
    if (chunks == 1) {
      auto run_all = [&] {
        run_chunk(0, 0);
        done(0);
      };
      run_alone([](void* context, int) { (*static_cast<decltype(run_all)*>(context))(); }, &run_all);
      return;
    }
    const int team = static_cast<int>(std::min<int64_t>(threads_, chunks));
    auto share = [&](int thread) {
      int64_t chunk = thread;
      do {
        run_chunk(thread, chunk);
      } while (chunks > team && !failing() &&
               (chunk = next_chunk_.fetch_add(1, std::memory_order_relaxed)) < chunks);
      for (int step = 1; const int absent = take_over(thread, team, step);) run_chunk(thread, absent);
      done(thread);
    };
    run_job([](void* context, int thread) { (*static_cast<decltype(share)*>(context))(thread); }, &share,
            team, Late::replaced);
  }

 private:
  using Job = void (*)(void* context, int thread);

  // What becomes of a thread's part in a job while the thread has not begun it.
  enum class Late : uint8_t { awaited, replaced };

  // Apart, so that the threads that wait for one do not slow the writer of the other.
  static constexpr size_t kCacheLine = 64;

  // What the caller and one thread hand each other, on a cache line of its own. `job` and `context` are
  // written while the thread has none and read by it after it has claimed them, which is by changing `state`.
  struct alignas(kCacheLine) Worker {
    std::atomic<uint32_t> state{0};  // State, and kAwaited
    Job job = nullptr;
    void* context = nullptr;
    std::thread thread;
  };

  static int64_t chunk_count(int64_t count, int64_t grain);
  bool failing() const { return failed_.load(std::memory_order_relaxed); }
  Worker& worker(int thread) { return workers_[static_cast<size_t>(thread - 1)]; }

  void run_job(Job job, void* context, int team, Late late);
  void run_alone(Job job, void* context);
  void call(Job job, void* context, int thread);
  int take_over(int thread, int team, int& step);
  void offer(int thread, Job job, void* context);
  void join(int thread, Late late);
  void work(int thread);
  void stop();

  int threads_;
  std::mutex callers_;           // one job at a time
  std::vector<Worker> workers_;  // of threads 1, 2, …; never resized

  std::exception_ptr error_;         // written by the thread that set failed_, read after the join
  std::atomic<bool> failed_{false};  // set by the first exception of a job
  AffinityGuard caller_place_;       // of the thread that made the pool, where it is pinned

  alignas(kCacheLine) std::atomic<int64_t> next_chunk_{0};  // the first that no thread has taken
};

}  // namespace ingot
