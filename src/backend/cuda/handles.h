// CUDA's handles, owned: made by the constructor, given back by the destructor, move only. Errors: those of
// check_cuda().
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "backend/cuda/cuda_error.h"

namespace ingot::cuda {

/// A handle of type T that `destroy` gives back; the status of that is of no use to anyone.
template <typename T, cudaError_t (*destroy)(T)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T handle) : handle_(handle) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  T get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  void reset() noexcept {
    if (handle_ != nullptr) static_cast<void>(destroy(std::exchange(handle_, nullptr)));
  }
  T handle_ = nullptr;
};

using Stream = Handle<cudaStream_t, cudaStreamDestroy>;
using Event = Handle<cudaEvent_t, cudaEventDestroy>;
using CapturedGraph = Handle<cudaGraph_t, cudaGraphDestroy>;
using ExecutableGraph = Handle<cudaGraphExec_t, cudaGraphExecDestroy>;

/// A stream that does not wait for the default one.
inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return Stream(stream);
}
/// `flags`: cudaEventDisableTiming unless the event is to be timed.
inline Event make_event(unsigned flags = cudaEventDisableTiming) {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, flags), "cudaEventCreate");
  return Event(event);
}

}  // namespace ingot::cuda
