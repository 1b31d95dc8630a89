#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/copies.h"
#include "base/check.h"

namespace ingot::cuda {
namespace {

using Clock = std::chrono::steady_clock;

// Set aside for what CUDA itself allocates as it goes: kernels' code, captured graphs, local memory.
constexpr size_t kReservedBytes = size_t{512} << 20;
constexpr int kLeastCapability = 80;
// The first in the order of CUDA, which honours CUDA_VISIBLE_DEVICES, and which threads have without asking.
constexpr int kDevice = 0;

/// Opens the device. Errors: those of CudaBackend.
Gpu open_device(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver || status == cudaErrorStubLibrary) {
    static_cast<void>(cudaGetLastError());
    int driver = 0;
    int runtime = 0;
    static_cast<void>(cudaDriverGetVersion(&driver));
    static_cast<void>(cudaRuntimeGetVersion(&runtime));
    if (driver == 0) fail(ErrorCode::not_found, "cuda: no NVIDIA driver is installed");
    fail(ErrorCode::unsupported, "cuda: the driver is too old: expected CUDA {}.{} or later, found {}.{}",
         runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10);
  }
  check_cuda(status, "cudaGetDeviceCount");
  if (device < 0 || device >= count)
    fail(ErrorCode::not_found, "cuda: expected one of {} devices, found number {}", count, device);
  check_cuda(cudaSetDevice(device), "cudaSetDevice");
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
    return value;
  };
  Gpu gpu;
  gpu.multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  gpu.shared_bytes_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  gpu.compute_capability =
      attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor);
  if (gpu.compute_capability < kLeastCapability) {
    fail(ErrorCode::unsupported, "cuda: expected a device of compute capability {}.{} or later, found {}.{}",
         kLeastCapability / 10, kLeastCapability % 10, gpu.compute_capability / 10,
         gpu.compute_capability % 10);
  }
  return gpu;
}

backend::Limits limits_of(int device, const Gpu& gpu) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  size_t free = 0;
  size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return {.device = fmt::format("{}, {} multiprocessors", properties.name, gpu.multiprocessors),
          .threads = 1,
          .memory_bytes = static_cast<int64_t>(free - std::min(free, kReservedBytes)),
          .shares_host_memory = false,
          .records_slices = true,
          .instruction_set =
              fmt::format("sm_{}{}", gpu.compute_capability, gpu.compute_capability == 90 ? "a" : "")};
}

/// Device memory, or pinned memory of the host.
DeviceMemory cuda_memory(const CudaOptions& options, bool is_host) {
  return {.allocate = [refuse = options.refuse_allocation, is_host](size_t bytes) -> void* {
            if (refuse && refuse(bytes)) return nullptr;
            void* data = nullptr;
            check_cuda(cudaSetDevice(kDevice), "cudaSetDevice");
            const cudaError_t status =
                is_host ? cudaHostAlloc(&data, bytes, cudaHostAllocMapped) : cudaMalloc(&data, bytes);
            if (status == cudaErrorMemoryAllocation) {
              static_cast<void>(cudaGetLastError());
              return nullptr;
            }
            check_cuda(status, is_host ? "cudaHostAlloc" : "cudaMalloc");
            return data;
          },
          .release =
              [is_host](void* data, size_t) {
                // Both wait for the device. A lost one keeps its memory until the process ends.
                static_cast<void>(is_host ? cudaFreeHost(data) : cudaFree(data));
              }};
}

}  // namespace

CudaBackend::CudaBackend(CudaOptions options) : CudaBackend(std::move(options), Clock::now()) {}

CudaBackend::CudaBackend(CudaOptions options, Clock::time_point started)
    : options_(std::move(options)),
      gpu_(open_device(kDevice)),
      limits_(limits_of(kDevice, gpu_)),
      stream_(make_stream()),
      memory_({}, cuda_memory(options_, false)),
      host_memory_({}, cuda_memory(options_, true)),
      imports_(std::make_shared<Imports>()) {
  gpu_.stream = stream_.get();
  cublaslt_ = std::make_unique<CublasLt>(memory_.acquire(CublasLt::kWorkspaceBytes));
  rounded_rows_ = std::make_unique<RoundedRows>(memory_.acquire(RoundedRows::kBytes));
  const int most_blocks = 2 * gpu_.multiprocessors;
  watched_logits_ =
      std::make_unique<WatchedRow>(memory_.acquire(logits_watch_bytes(most_blocks)), most_blocks);
  uploads_ = std::make_unique<Uploads>(kDevice, Uploads::default_threads(),
                                       [this](size_t bytes) { return host_memory_.acquire(bytes); });
  creation_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - started).count();
}

CudaBackend::~CudaBackend() = default;

void CudaBackend::require_alive() const {
  if (!lost_.empty()) fail(ErrorCode::device_failed, "cuda: the device is lost: {}", lost_);
}

void CudaBackend::check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  if (is_fatal(status)) lost_ = fmt::format("{}: {}", what, cudaGetErrorString(status));
  check_cuda(status, what);
}

PooledBuffer CudaBackend::allocate(size_t bytes) {
  require_alive();
  try {
    return memory_.acquire(bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) throw;
    fail(ErrorCode::out_of_memory, "cuda: out of device memory: {}", error.what());
  }
}

PooledBuffer CudaBackend::allocate_host(size_t bytes) {
  require_alive();
  try {
    return host_memory_.acquire(bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) throw;
    fail(ErrorCode::out_of_memory, "cuda: out of pinned memory: {}", error.what());
  }
}

std::shared_ptr<const void> CudaBackend::import_host(const void* data, size_t bytes) {
  require_alive();
  if (auto found = imports_->find(data, bytes)) return found;
  PooledBuffer buffer = allocate(std::max<size_t>(bytes, 1));
  void* device = buffer.data();
  // The block may have been in use on the stream, which the uploads do not wait for.
  check(cudaStreamSynchronize(stream_.get()), "kernels");
  // The bytes on the host may go when the import does: then none may be on their way.
  auto import = imports_->add(data, bytes, std::move(buffer), [uploads = uploads_.get()] {
    try {
      uploads->wait();
    } catch (const Error&) {  // whoever used the device has heard of it
    }
  });
  uploads_->add(device, data, bytes);
  return import;
}

void CudaBackend::copy(void* to, const void* from, size_t bytes) {
  require_alive();
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_.get()), "copy");
  check(cudaStreamSynchronize(stream_.get()), "copy");
}

void CudaBackend::zero(void* data, size_t bytes) {
  require_alive();
  if (bytes > 0) check(cudaMemsetAsync(data, 0, bytes, stream_.get()), "zero");
}

const backend::Kernel* CudaBackend::find_kernel(const backend::KernelQuery& query) const {
  for (const backend::Kernel& kernel : kernel_table()) {
    if (kernel.op == query.op.name() && kernel.supports(query)) return &kernel;
  }
  return nullptr;
}

std::span<const backend::Kernel> CudaBackend::kernels() const {
  return kernel_table();
}

/// Copies between the device and the host, small ones from and to pinned memory together.
void CudaBackend::enqueue_copies(std::span<const backend::Copy> copies, std::string_view what) {
  SmallCopies small;
  const auto flush = [&] {
    if (small.count > 0) run_small_copies(gpu_, small);
    check(cudaGetLastError(), what);
    small.count = 0;
  };
  const auto is_for_kernel = [](const void* data) {
    cudaPointerAttributes attributes{};
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 &&
           cudaPointerGetAttributes(&attributes, data) == cudaSuccess &&
           attributes.type != cudaMemoryTypeUnregistered;
  };
  for (const backend::Copy& copy : copies) {
    if (copy.bytes == 0) continue;
    if (copy.bytes <= SmallCopies::kMostBytes && is_for_kernel(copy.to) && is_for_kernel(copy.from)) {
      small.items[small.count++] = {copy.to, copy.from, static_cast<uint32_t>(copy.bytes)};
      if (small.count == SmallCopies::kMost) flush();
    } else {
      check(cudaMemcpyAsync(copy.to, copy.from, copy.bytes, cudaMemcpyDefault, stream_.get()), what);
    }
  }
  flush();
}

void CudaBackend::enqueue(const backend::Slice& slice) {
  enqueue_copies(slice.copies_in, "copy of a step's inputs");
  rounded_rows_->forget();
  watched_logits_->forget();
  for (size_t i = 0; i < slice.launches.size(); ++i) {
    const bool is_last = i + 1 == slice.launches.size();
    rounded_rows_->want(
        is_last ? std::nullopt : wanted_rounded_rows(*slice.kernels[i + 1], slice.launches[i + 1]),
        slice.launches[i].is_for_next);
    watched_logits_->want(is_last ? std::nullopt
                                  : wanted_logits(*slice.kernels[i + 1], slice.launches[i + 1]));
    slice.kernels[i]->launch(*this, slice.launches[i]);
    check(cudaGetLastError(), slice.kernels[i]->name);
  }
  rounded_rows_->forget();
  watched_logits_->forget();
  enqueue_copies(slice.copies_out, "copy of a step's outputs");
}

/// Runs what may throw, and finds out whether the device is lost where it does: an error may tell what an
/// earlier kernel did.
template <class F>
auto CudaBackend::guarded(const F& run) {
  require_alive();
  try {
    return run();
  } catch (const Error&) {
    const cudaError_t status = cudaStreamQuery(stream_.get());
    if (status != cudaErrorNotReady) check(status, "kernels");
    throw;
  }
}

uint64_t CudaBackend::submit(const backend::Slice& slice) {
  return guarded([&] {
    uploads_->wait();
    recordings_.run(slice.id, stream_.get(), [&] { enqueue(slice); });
    return tickets_.issue(stream_.get());
  });
}

void CudaBackend::wait(uint64_t ticket) {
  require_alive();
  const cudaEvent_t event = tickets_.event(ticket);
  if (event != nullptr) check(cudaEventSynchronize(event), "kernels");
}

void CudaBackend::synchronize() {
  guarded([&] {
    uploads_->wait();
    check(cudaStreamSynchronize(stream_.get()), "kernels");
  });
}

backend::Peaks CudaBackend::measure_peaks() {
  return guarded([&] { return peaks_of_device(); });
}

backend::Overheads CudaBackend::measure_overheads() {
  return guarded([&] { return overheads_of_device(); });
}

std::vector<backend::TunedForm> CudaBackend::tune(const backend::Slice& slice) {
  return guarded([&] {
    uploads_->wait();
    return tune_forms(slice);
  });
}

void CudaBackend::profile(const backend::Slice& slice, std::span<double> launch_us) {
  guarded([&] {
    uploads_->wait();
    profile_alone(slice, launch_us);
  });
}

void CudaBackend::profile_alone(const backend::Slice& slice, std::span<double> launch_us) {
  // Recorded with an event between any two launches, so that the host's time to launch them is in none.
  // Events take time of their own: what lies between pairs of them with nothing in between.
  constexpr size_t kPairs = 9;
  std::vector<Event> events;
  std::vector<Event> empty;
  for (size_t i = 0; i <= slice.launches.size(); ++i) events.push_back(make_event(cudaEventDefault));
  for (size_t i = 0; i <= kPairs; ++i) empty.push_back(make_event(cudaEventDefault));
  const auto mark = [&](const Event& event) {
    check(cudaEventRecordWithFlags(event.get(), stream_.get(), cudaEventRecordExternal), "profile");
  };
  const auto elapsed_us = [&](const std::vector<Event>& between, size_t i) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, between[i].get(), between[i + 1].get()),
          "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1000;
  };
  const auto enqueue_all = [&] {
    for (const Event& event : empty) mark(event);
    for (size_t i = 0; i < slice.launches.size(); ++i) {
      mark(events[i]);
      slice.kernels[i]->launch(*this, slice.launches[i]);
      check(cudaGetLastError(), slice.kernels[i]->name);
    }
    mark(events.back());
  };
  const ExecutableGraph graph = Recordings::capture(stream_.get(), enqueue_all);
  check(cudaGraphLaunch(graph.get(), stream_.get()), "profile");
  check(cudaStreamSynchronize(stream_.get()), "kernels");
  std::vector<double> of_events;
  for (size_t i = 0; i < kPairs; ++i) of_events.push_back(elapsed_us(empty, i));
  std::sort(of_events.begin(), of_events.end());
  constexpr double kLeastUs = 0.1;
  for (size_t i = 0; i < slice.launches.size(); ++i)
    launch_us[i] = std::max(elapsed_us(events, i) - of_events[kPairs / 2], kLeastUs);
}

}  // namespace ingot::cuda
