// Fork and join of the thread pool: what one parallel op costs beyond its work.
#include <benchmark/benchmark.h>

#include <chrono>
#include <thread>

#include "base/cpu_count.h"
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

}  // namespace
}  // namespace ingot
