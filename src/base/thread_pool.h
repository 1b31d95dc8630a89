// A fixed team of threads for fork-join work: the caller is thread 0, the pool owns the others.
//
// Idle threads spin for a moment and then park, so that the many short jobs of one step start in about a
// microsecond and an idle pool costs nothing. A call allocates nothing on the heap.
//
// Thread safety: any thread may call run() and parallel_for(). One job runs at a time; concurrent callers
// wait for their turn (in no fixed order). A call from inside a job, of this pool or any other, is refused
// (Error{internal}): it could wait for itself. The destructor must not run beside a call.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace ingot {

class ThreadPool {  // NOLINT(clang-analyzer-optin.performance.Padding): it keeps cache lines apart
 public:
  /// The most threads a pool may have.
  static constexpr int kMaxThreads = 1024;

  /// Starts `threads` - 1 threads. Errors: invalid_argument outside [1, kMaxThreads], out_of_memory where the
  /// system refuses a thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// Threads that take part in a job, the caller included.
  int threads() const { return threads_; }

  /// Calls f(thread) once for every thread in [0, threads()) and returns when all calls have. What the calls
  /// wrote is visible to the caller. If calls throw, the first exception is rethrown here after the join.
  template <class F>
  void run(F&& f) {
    auto call = [&f](int thread) { f(thread); };
    run_job([](void* context, int thread) { (*static_cast<decltype(call)*>(context))(thread); }, &call);
  }

  /// Calls f(begin, end) for chunks of at most `grain` indices that cover [0, count). Thread t begins with
  /// chunk t; then threads take chunks as they become free, so which thread runs a chunk differs between
  /// runs; the chunks themselves do not. One chunk runs on the caller alone. After an exception, chunks not
  /// yet begun are dropped. `done(thread)` runs on each thread that took part, when no chunk is left for it.
  template <class F>
  void parallel_for(int64_t count, int64_t grain, F&& f) {
    parallel_for(count, grain, std::forward<F>(f), [](int) {});
  }
  template <class F, class Done>
  void parallel_for(int64_t count, int64_t grain, F&& f, Done&& done) {
    const int64_t chunks = chunk_count(count, grain);
    if (chunks == 0) return;
    auto run_chunk = [&](int64_t chunk) {
      const int64_t begin = chunk * grain;
      f(begin, count - begin < grain ? count : begin + grain);
    };
    if (chunks == 1) {
      auto run_all = [&] {
        run_chunk(0);
        done(0);
      };
      run_alone([](void* context, int) { (*static_cast<decltype(run_all)*>(context))(); }, &run_all);
      return;
    }
    std::atomic<int64_t> next{threads_};
    run([&](int thread) {
      for (int64_t chunk = thread; chunk < chunks && !failing();
           chunk = next.fetch_add(1, std::memory_order_relaxed)) {
        run_chunk(chunk);
      }
      done(thread);
    });
  }

 private:
  using Job = void (*)(void* context, int thread);

  static int64_t chunk_count(int64_t count, int64_t grain);
  bool failing() const { return failed_.load(std::memory_order_relaxed); }

  void run_job(Job job, void* context);
  void run_alone(Job job, void* context);
  void call(int thread);
  void worker(int thread);
  void stop();

  // Apart, so that the threads that wait for one do not slow the writer of the other.
  static constexpr size_t kCacheLine = 64;

  int threads_;
  std::mutex callers_;  // one job at a time
  std::vector<std::thread> workers_;

  // The job in progress: written by the caller before epoch_ rises, read by workers after.
  Job job_ = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
  std::exception_ptr error_;         // written by the thread that set failed_, read after the join
  std::atomic<bool> failed_{false};  // set by the first exception of a job

  alignas(kCacheLine) std::atomic<uint32_t> epoch_{0};    // rises by one for every job
  alignas(kCacheLine) std::atomic<uint32_t> running_{0};  // workers that have not finished the job
};

}  // namespace ingot
