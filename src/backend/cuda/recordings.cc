#include "backend/cuda/recordings.h"

#include <utility>

namespace ingot::cuda {

ExecutableGraph Recordings::capture(cudaStream_t stream, const std::function<void()>& enqueue) {
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t captured = nullptr;
  try {
    enqueue();
  } catch (...) {
    // Ends the capture, whatever is in it; the stream is then as before.
    static_cast<void>(cudaStreamEndCapture(stream, &captured));
    const CapturedGraph dropped(captured);
    static_cast<void>(cudaGetLastError());
    throw;
  }
  const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
  const CapturedGraph graph(captured);
  check_cuda(ended, "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return ExecutableGraph(executable);
}

void Recordings::run(uint64_t id, cudaStream_t stream, const std::function<void()>& enqueue) {
  if (id == 0) {
    enqueue();
    ++statistics_.direct;
    return;
  }
  const auto [entry, is_new] = recordings_.try_emplace(id);
  Recording& recording = entry->second;
  if (is_new) {
    // Most slices of a prompt never come again, and libraries set themselves up on first use, outside a
    // capture.
    recording.used = used_.insert(used_.end(), id);
    if (used_.size() > kMost) {
      recordings_.erase(used_.front());
      used_.pop_front();
    }
    enqueue();
    ++statistics_.direct;
    return;
  }
  used_.splice(used_.end(), used_, recording.used);
  if (!recording.graph) {
    recording.graph = capture(stream, enqueue);
    ++statistics_.captured;
  }
  check_cuda(cudaGraphLaunch(recording.graph.get(), stream), "cudaGraphLaunch");
  ++statistics_.replayed;
}

uint64_t Tickets::issue(cudaStream_t stream) {
  Event event;
  if (issued_.size() < kKept) {
    event = make_event();
  } else {
    // The oldest is taken again: whoever waits for it now waits for later work too, which is safe.
    event = std::move(issued_.front().second);
    issued_.pop_front();
  }
  check_cuda(cudaEventRecord(event.get(), stream), "cudaEventRecord");
  issued_.emplace_back(next_, std::move(event));
  return next_++;
}

cudaEvent_t Tickets::event(uint64_t ticket) const {
  for (const auto& [number, event] : issued_) {
    if (number >= ticket) return event.get();
  }
  return nullptr;
}

}  // namespace ingot::cuda
