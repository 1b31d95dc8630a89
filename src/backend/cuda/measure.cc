// What the device can do at most, and what it takes beside kernels: measured on request.
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels/peaks.h"

namespace ingot::cuda {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Median milliseconds of what `enqueue` puts on the stream.
double device_ms(cudaStream_t stream, int repeats, const std::function<void()>& enqueue) {
  const Event start = make_event(cudaEventDefault);
  const Event end = make_event(cudaEventDefault);
  std::vector<double> times;
  enqueue();  // the first loads code and wakes the clocks
  for (int i = 0; i < repeats; ++i) {
    check_cuda(cudaEventRecord(start.get(), stream), "cudaEventRecord");
    enqueue();
    check_cuda(cudaGetLastError(), "measuring the device");
    check_cuda(cudaEventRecord(end.get(), stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end.get()), "measuring the device");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, start.get(), end.get()), "cudaEventElapsedTime");
    times.push_back(static_cast<double>(milliseconds));
  }
  return median(std::move(times));
}

/// Median microseconds of calls that end on the host.
double host_us(int repeats, const std::function<void()>& call) {
  std::vector<double> times;
  call();
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    call();
    times.push_back(us_since(start));
  }
  return median(std::move(times));
}

}  // namespace

backend::Peaks CudaBackend::peaks_of_device() {
  backend::Peaks peaks;
  const cudaStream_t stream = stream_.get();
  size_t free = 0;  // a model may be loaded
  size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  {
    // Far more than the second-level cache holds.
    const size_t bytes = std::min<size_t>(size_t{4} << 30, free / 2) / 16 * 16;
    const PooledBuffer data = allocate(bytes);
    zero(data.data(), bytes);
    const double ms = device_ms(stream, 5, [&] { run_read(gpu_, data.data(), bytes, data.data()); });
    peaks.read_gbps = static_cast<double>(bytes) / ms * 1e-6;
    double flops = 0;
    const double multiply_ms = device_ms(stream, 5, [&] { flops = run_multiply_add(gpu_, data.data()); });
    peaks.f32_gflops = flops / multiply_ms * 1e-6;
  }
  const int64_t width = free > (size_t{2} << 30) ? 8192 : 2048;
  const PooledBuffer a = allocate(static_cast<size_t>(width * width * 2));
  const PooledBuffer b = allocate(static_cast<size_t>(width * width * 2));
  const PooledBuffer c = allocate(static_cast<size_t>(width * width * 4));
  run_random_bf16(gpu_, a.data(), width * width);
  run_random_bf16(gpu_, b.data(), width * width);
  const double ms = device_ms(stream, 5, [&] {
    cublaslt_->multiply({.x = a.data(),
                         .weight = b.data(),
                         .dtype = DType::bf16,
                         .rows = width,
                         .in = width,
                         .out = width,
                         .x_stride = width,
                         .sums = static_cast<float*>(c.data()),
                         .stride = width},
                        stream);
  });
  peaks.matrix16_gflops = 2.0 * static_cast<double>(width * width * width) / ms * 1e-6;
  return peaks;
}

backend::Overheads CudaBackend::overheads_of_device() {
  backend::Overheads overheads;
  const cudaStream_t stream = stream_.get();
  overheads.creation_ms = creation_ms_;
  for (const size_t bytes : {size_t{1} << 10, size_t{1} << 20, size_t{10} << 20}) {
    const double driver = host_us(21, [&] {
      void* data = nullptr;
      check_cuda(cudaMalloc(&data, bytes), "cudaMalloc");
      check_cuda(cudaFree(data), "cudaFree");
    });
    // One pair takes less than the clock can tell.
    constexpr int kPairs = 1000;
    const double pooled = host_us(5, [&] {
      for (int i = 0; i < kPairs; ++i) static_cast<void>(memory_.acquire(bytes));
    });
    overheads.allocations.push_back({.bytes = bytes, .driver_us = driver, .pool_us = pooled / kPairs});
  }
  for (const size_t bytes : {size_t{4} << 20, size_t{1} << 30}) {
    const PooledBuffer device = allocate(bytes);
    const PooledBuffer host = allocate_host(bytes);
    const auto gbps = [&](void* to, const void* from) {
      return static_cast<double>(bytes) * 1e-6 / device_ms(stream, 5, [&] {
               check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copy");
             });
    };
    overheads.transfers.push_back({.bytes = bytes,
                                   .to_device_gbps = gbps(device.data(), host.data()),
                                   .from_device_gbps = gbps(host.data(), device.data())});
  }
  host_memory_.trim();
  overheads.empty_launch_us = host_us(101, [&] {
    run_nothing(gpu_);
    check_cuda(cudaStreamSynchronize(stream), "empty launch");
  });
  constexpr int kLaunches = 500;
  const ExecutableGraph graph = Recordings::capture(stream, [&] {
    for (int i = 0; i < kLaunches; ++i) run_nothing(gpu_);
  });
  overheads.replay_us =
      device_ms(stream, 11, [&] { check_cuda(cudaGraphLaunch(graph.get(), stream), "replay"); }) * 1000 /
      kLaunches;
  return overheads;
}

}  // namespace ingot::cuda
