// The CUDA backend: one NVIDIA GPU with its stream, memory and kernels.
//
// Everything runs on one stream, in order, but uploads, which wait for it: hence the pool may hand out a
// block again while work that used it is still in flight. A slice that comes again with the same id is
// captured as a CUDA graph and replayed from then on. An error that CUDA cannot recover from marks the device
// lost: every later call throws device_failed, and nothing else of the process is concerned. Used by one
// thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/handles.h"
#include "backend/cuda/imports.h"
#include "backend/cuda/kernels/gpu.h"
#include "backend/cuda/linear_forms.h"
#include "backend/cuda/recordings.h"
#include "backend/cuda/rounded_rows.h"
#include "backend/cuda/uploads.h"
#include "backend/cuda/watched_logits.h"

namespace ingot::cuda {

class CublasLt;

struct CudaOptions {
  /// Tests: asked before every allocation of device or pinned memory; true refuses it.
  std::function<bool(size_t bytes)> refuse_allocation = {};
};

class CudaBackend final : public backend::Backend {
 public:
  /// Errors: not_found where no driver or no such device is there, unsupported for a driver that is too old,
  /// a device that this build has no code for, or a missing cuBLASLt; out_of_memory.
  explicit CudaBackend(CudaOptions options = {});
  ~CudaBackend() override;

  const Gpu& gpu() const { return gpu_; }
  CublasLt& cublaslt() { return *cublaslt_; }
  RoundedRows& rounded_rows() { return *rounded_rows_; }
  WatchedRow& watched_logits() { return *watched_logits_; }
  LinearForms& linear_forms() { return linear_forms_; }

  std::string_view name() const override { return "cuda"; }
  backend::Limits limits() const override { return limits_; }
  backend::Peaks measure_peaks() override;
  backend::Overheads measure_overheads() override;
  PooledBuffer allocate(size_t bytes) override;
  BufferPoolStatistics pool_statistics() const override { return memory_.statistics(); }
  PooledBuffer allocate_host(size_t bytes) override;
  std::shared_ptr<const void> import_host(const void* data, size_t bytes) override;
  backend::ImportStatistics import_statistics() const override { return uploads_->statistics(); }
  void copy(void* to, const void* from, size_t bytes) override;
  void zero(void* data, size_t bytes) override;
  const backend::Kernel* find_kernel(const backend::KernelQuery& query) const override;
  std::span<const backend::Kernel> kernels() const override;
  uint64_t submit(const backend::Slice& slice) override;
  void wait(uint64_t ticket) override;
  void synchronize() override;
  void profile(const backend::Slice& slice, std::span<double> launch_us) override;
  std::vector<backend::TunedForm> tune(const backend::Slice& slice) override;
  void use_forms(std::span<const backend::TunedForm> forms) override;
  std::span<const backend::TunedForm> forms() const override { return linear_forms_.tuned(); }

  RecordingStatistics recording_statistics() const { return recordings_.statistics(); }

 private:
  CudaBackend(CudaOptions options, std::chrono::steady_clock::time_point started);
  void require_alive() const;
  /// Throws for a status that is no success; marks the device lost where CUDA says it is.
  void check(cudaError_t status, std::string_view what);
  void enqueue_copies(std::span<const backend::Copy> copies, std::string_view what);
  void enqueue(const backend::Slice& slice);
  template <class F>
  auto guarded(const F& run);
  std::vector<backend::TunedForm> tune_forms(const backend::Slice& slice);
  void profile_alone(const backend::Slice& slice, std::span<double> launch_us);
  backend::Peaks peaks_of_device();
  backend::Overheads overheads_of_device();

  CudaOptions options_;
  double creation_ms_ = 0;
  Gpu gpu_;
  backend::Limits limits_;
  Stream stream_;
  BufferPool memory_;       // of the device
  BufferPool host_memory_;  // pinned
  std::unique_ptr<CublasLt> cublaslt_;
  std::unique_ptr<RoundedRows> rounded_rows_;
  std::unique_ptr<WatchedRow> watched_logits_;
  LinearForms linear_forms_;
  std::unique_ptr<Uploads> uploads_;
  std::shared_ptr<Imports> imports_;
  Recordings recordings_;
  Tickets tickets_;
  std::string lost_;  // why; empty while the device is there
};

/// The backend that a launcher was called on.
inline CudaBackend& cuda_of(backend::Backend& backend) {
  return static_cast<CudaBackend&>(backend);
}
inline const CudaBackend& cuda_of(const backend::Backend& backend) {
  return static_cast<const CudaBackend&>(backend);
}
inline const Gpu& gpu_of(const backend::Backend& backend) {
  return cuda_of(backend).gpu();
}

}  // namespace ingot::cuda
