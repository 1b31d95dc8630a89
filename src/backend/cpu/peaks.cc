#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/peaks.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <atomic>
#include <chrono>

#include "backend/cpu/kernels/int8_dot-inl.h"
#include "backend/cpu/peaks.h"
#include "memory/buffer.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Sums `floats` (a multiple of 8 vectors); the result keeps the loads alive.
float read_all(const float* data, size_t floats) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i + 4 * lanes <= floats; i += 4 * lanes) {
    a = hn::Add(a, hn::Load(d, data + i));
    b = hn::Add(b, hn::Load(d, data + i + lanes));
    c = hn::Add(c, hn::Load(d, data + i + 2 * lanes));
    e = hn::Add(e, hn::Load(d, data + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

constexpr int kChains = 12;  // enough to hide a multiply-add's latency on any core

/// Runs `steps` x kChains multiply-adds; returns their sum and, through `flops`, their number of operations.
float multiply_add(size_t steps, double* flops) {
  const hn::ScalableTag<float> d;
  decltype(hn::Zero(d)) sums[kChains];
  HWY_UNROLL(12)
  for (int i = 0; i < kChains; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  const auto x = hn::Set(d, 0.999F);
  const auto y = hn::Set(d, 0.001F);
  for (size_t step = 0; step < steps; ++step) {
    HWY_UNROLL(12)
    for (int i = 0; i < kChains; ++i) sums[i] = hn::MulAdd(sums[i], x, y);
  }
  auto sum = sums[0];
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, sums[i]);
  *flops = 2.0 * static_cast<double>(steps * kChains * hn::Lanes(d));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// The same with dots of four bytes.
template <bool kHasDot>
int32_t multiply_bytes(size_t steps, double* operations) {
  const I32 d;
  VecI32 sums[kChains];
  HWY_UNROLL(12)
  for (int i = 0; i < kChains; ++i) sums[i] = hn::Set(d, i);
  alignas(64) int8_t bytes[kChains * kByteLanes];
  std::fill_n(bytes, kChains * kByteLanes, int8_t{3});
  const VecU8 w = load_u8(bytes);
  for (size_t step = 0; step < steps; ++step) {
    __asm__ volatile("" ::: "memory");  // else the products would be made once, before the loop
    HWY_UNROLL(12)
    for (int i = 0; i < kChains; ++i)
      sums[i] = dot_narrow<kHasDot>(sums[i], w, load_i8(bytes + i * kByteLanes));
  }
  auto sum = sums[0];
  HWY_UNROLL(12)
  for (int i = 1; i < kChains; ++i) sum = hn::Add(sum, sums[i]);
  *operations = 2.0 * static_cast<double>(steps * kChains * kByteLanes);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

float dot_bytes(size_t steps, double* operations) {
  int32_t sum = 0;
  with_int8_dot([&](auto has_dot) HWY_ATTR { sum = multiply_bytes<has_dot>(steps, operations); });
  return static_cast<float>(sum);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(read_all);
HWY_EXPORT(multiply_add);
HWY_EXPORT(dot_bytes);

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What the measured work returns, stored so that no compiler removes it.
void keep(std::atomic<float>& sink, float value) {
  sink.store(value, std::memory_order_relaxed);
}

}  // namespace

double measure_read_gbps(ThreadPool& pool) {
  constexpr size_t kStep = size_t{1} << 20;
  constexpr size_t bytes = size_t{512} << 20;
  Buffer buffer = Buffer::allocate(bytes);
  auto* data = reinterpret_cast<float*>(buffer.mutable_data());
  const auto chunks = static_cast<int64_t>(bytes / kStep);
  constexpr size_t kChunkFloats = kStep / sizeof(float);
  // Ones, not zeros: untouched zero pages would all be the same cached page.
  pool.parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    std::fill(data + static_cast<size_t>(begin) * kChunkFloats,
              data + static_cast<size_t>(end) * kChunkFloats, 1.0F);
  });
  std::atomic<float> sink{0};
  double best = 0;
  const Clock::time_point start = Clock::now();
  for (int pass = 0; pass < 4 || seconds_since(start) < 0.3; ++pass) {
    const Clock::time_point begin_pass = Clock::now();
    pool.parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      keep(sink, HWY_DYNAMIC_DISPATCH(read_all)(data + static_cast<size_t>(begin) * kChunkFloats,
                                                static_cast<size_t>(end - begin) * kChunkFloats));
    });
    best = std::max(best, static_cast<double>(bytes) / seconds_since(begin_pass) * 1e-9);
  }
  return best;
}

namespace {

/// 1e9 operations a second of all threads; work(&operations) returns what it computed.
template <class Work>
double measure_gops(ThreadPool& pool, const Work& work) {
  std::atomic<float> sink{0};
  double best = 0;
  const Clock::time_point start = Clock::now();
  while (seconds_since(start) < 0.3) {
    std::atomic<double> all{0};
    const Clock::time_point begin_pass = Clock::now();
    pool.run([&](int) {
      double operations = 0;
      keep(sink, work(&operations));
      all.fetch_add(operations);
    });
    best = std::max(best, all.load() / seconds_since(begin_pass) * 1e-9);
  }
  return best;
}

}  // namespace

double measure_f32_gflops(ThreadPool& pool) {
  const auto run = HWY_DYNAMIC_DISPATCH(multiply_add);
  return measure_gops(pool, [&](double* operations) { return run(size_t{1} << 20, operations); });
}

double measure_int8_gops(ThreadPool& pool) {
  const auto run = HWY_DYNAMIC_DISPATCH(dot_bytes);
  return measure_gops(pool, [&](double* operations) { return run(size_t{1} << 20, operations); });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
