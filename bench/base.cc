// Fork and join of the thread pool: what one parallel op costs beyond its work, and what a stream of them
// keeps of its speed beside another process and with more threads than CPUs.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/cpu_count.h"
#include "base/thread_affinity.h"
#include "base/thread_pool.h"

namespace ingot {
namespace {

// Jobs back to back, as the ops of one step: the workers are spinning.
void fork_join(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  while (state.KeepRunning()) pool.run([](int thread) { benchmark::DoNotOptimize(thread); });
}

// A job after a pause: the workers have parked and must be woken.
void fork_join_parked(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  while (state.KeepRunning()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto start = std::chrono::steady_clock::now();
    pool.run([](int thread) { benchmark::DoNotOptimize(thread); });
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

void parallel_for_64_chunks(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  while (state.KeepRunning())
    pool.parallel_for(64, 1, [](int64_t begin, int64_t) { benchmark::DoNotOptimize(begin); });
}

// A process that does nothing but compute, on the last CPU that this one may use. It must be made while no
// other thread runs: it is a fork.
class BusyProcess {
 public:
  BusyProcess() : child_(fork()) {
    if (child_ < 0) throw std::runtime_error("cannot start a process");
    if (child_ == 0) {
      const pid_t parent = getppid();
      AffinityGuard place;
      if (const auto cpus = allowed_cpus()) place.pin(cpus->back());
      for (uint64_t n = 0; getppid() == parent; ++n) {
        for (uint64_t i = 0; i < 1'000'000; ++i) benchmark::DoNotOptimize(n += i);
      }
      _exit(0);
    }
  }
  ~BusyProcess() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  BusyProcess(const BusyProcess&) = delete;
  BusyProcess& operator=(const BusyProcess&) = delete;

 private:
  pid_t child_;
};

// Jobs of 16 chunks of about a microsecond each, with a little work of the caller between them: a decode step
// of a small model is 45 such jobs.
void job_stream(benchmark::State& state) {
  std::optional<BusyProcess> other;
  if (state.range(1) != 0) other.emplace();
  ThreadPool pool(static_cast<int>(state.range(0)));
  std::array<float, 4096> values;
  values.fill(0.5F);
  const auto work = [&values](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      std::array<float, 16> sums = {};
      for (size_t i = 0; i < values.size(); i += sums.size()) {
        for (size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += values[i + lane] * values[i + lane];
      }
      benchmark::DoNotOptimize(sums);
      benchmark::ClobberMemory();
    }
  };
  while (state.KeepRunning()) {
    work(0, 1);
    pool.parallel_for(16, 1, work);
  }
  state.SetItemsProcessed(state.iterations());
}

// Alone and beside a busy process, with up to four times more threads than CPUs.
void crowds(benchmark::internal::Benchmark* benchmark) {
  const int cpus = available_cpus();
  for (const int busy : {0, 1}) {
    if (cpus > 1) benchmark->Args({1, busy});
    for (const int times : {1, 2, 4}) benchmark->Args({times * cpus, busy});
  }
  benchmark->ArgNames({"threads", "busy"});
}

// 1, 2, 4 … up to every CPU this process may use.
void thread_counts(benchmark::internal::Benchmark* benchmark) {
  const int cpus = available_cpus();
  for (int threads = 1; threads < cpus; threads *= 2) benchmark->Arg(threads);
  benchmark->Arg(cpus);
  benchmark->ArgName("threads");
}

BENCHMARK(fork_join)->Apply(thread_counts)->UseRealTime();
BENCHMARK(fork_join_parked)->Apply(thread_counts)->UseManualTime()->Iterations(200);
BENCHMARK(parallel_for_64_chunks)->Apply(thread_counts)->UseRealTime();
BENCHMARK(job_stream)->Apply(crowds)->UseRealTime();

}  // namespace
}  // namespace ingot
