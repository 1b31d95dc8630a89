#include "backend/cuda/uploads.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cuda/handles.h"
#include "base/cpu_count.h"

namespace ingot::cuda {
namespace {

constexpr int kMostThreads = 8;

/// Asks the system to map these bytes of a file at once: a fault for every page would cost more than the
/// copy. Only a hint, which older kernels refuse.
void populate(const void* data, size_t bytes) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(data) / page * page;
  const uintptr_t last = reinterpret_cast<uintptr_t>(data) + bytes;
  static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_READ));
#else
  static_cast<void>(data);
  static_cast<void>(bytes);
#endif
}

}  // namespace

int Uploads::default_threads() {
  return std::clamp(available_cpus() - 1, 1, kMostThreads);
}

Uploads::Uploads(int device, int threads, std::function<PooledBuffer(size_t bytes)> staging)
    : device_(device), threads_(threads), staging_(std::move(staging)) {
  statistics_.threads = threads;
}

Uploads::~Uploads() {
  try {
    wait();
  } catch (...) {  // whoever used the bytes has heard of it from the device by now
  }
}

void Uploads::add(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  if (workers_.empty()) start();
  {
    const std::lock_guard lock(mutex_);
    if (unfinished_ == 0) started_ = Clock::now();
    statistics_.bytes += bytes;
    for (size_t done = 0; done < bytes; done += kPieceBytes) {
      waiting_.push_back({.to = static_cast<std::byte*>(to) + done,
                          .from = static_cast<const std::byte*>(from) + done,
                          .bytes = std::min(kPieceBytes, bytes - done)});
      ++unfinished_;
    }
  }
  changed_.notify_all();
}

void Uploads::start() {
  std::vector<std::pair<PooledBuffer, PooledBuffer>> staging;
  for (int i = 0; i < threads_; ++i) {
    // Evaluated one after the other: either may throw.
    PooledBuffer first = staging_(kPieceBytes);
    staging.emplace_back(std::move(first), staging_(kPieceBytes));
  }
  ending_ = false;
  for (auto& [first, second] : staging) {
    workers_.emplace_back([this, first = std::move(first), second = std::move(second)]() mutable {
      work(std::move(first), std::move(second));
    });
  }
}

bool Uploads::next(Piece& piece) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !waiting_.empty() || ending_; });
  if (waiting_.empty()) return false;
  piece = waiting_.front();
  waiting_.pop_front();
  return true;
}

void Uploads::work(PooledBuffer first, PooledBuffer second) {
  const auto finish = [&](size_t pieces, std::exception_ptr error = nullptr) {
    {
      const std::lock_guard lock(mutex_);
      unfinished_ -= pieces;
      if (unfinished_ == 0 && pieces > 0)
        statistics_.seconds += std::chrono::duration<double>(Clock::now() - started_).count();
      if (error != nullptr && error_ == nullptr) error_ = std::move(error);
    }
    changed_.notify_all();
  };
  Piece piece{};
  bool has_piece = false;
  Stream stream;
  try {
    check_cuda(cudaSetDevice(device_), "cudaSetDevice");
    stream = make_stream();
    std::pair<std::byte*, Event> buffers[] = {{static_cast<std::byte*>(first.data()), make_event()},
                                              {static_cast<std::byte*>(second.data()), make_event()}};
    size_t turn = 0;
    while ((has_piece = next(piece))) {
      auto& [staging, free] = buffers[turn++ % 2];
      check_cuda(cudaEventSynchronize(free.get()), "cudaEventSynchronize");
      populate(piece.from, piece.bytes);
      std::memcpy(staging, piece.from, piece.bytes);
      check_cuda(cudaMemcpyAsync(piece.to, staging, piece.bytes, cudaMemcpyHostToDevice, stream.get()),
                 "upload of weights");
      check_cuda(cudaEventRecord(free.get(), stream.get()), "cudaEventRecord");
      // The last pieces are waited for here, so that a piece is finished when it has arrived.
      bool is_last = false;
      {
        const std::lock_guard lock(mutex_);
        is_last = waiting_.empty();
      }
      if (is_last) check_cuda(cudaStreamSynchronize(stream.get()), "upload of weights");
      finish(1);
    }
    check_cuda(cudaStreamSynchronize(stream.get()), "upload of weights");
  } catch (...) {
    // What is still on its way must not find its places given to others.
    if (stream) static_cast<void>(cudaStreamSynchronize(stream.get()));
    finish(has_piece ? 1 : 0, std::current_exception());
    while (next(piece)) finish(1);  // nobody may wait for pieces that will not come
  }
}

void Uploads::wait() {
  if (workers_.empty()) {
    if (error_ != nullptr) std::rethrow_exception(error_);
    return;
  }
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return unfinished_ == 0; });
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  if (error_ != nullptr) std::rethrow_exception(error_);
}

backend::ImportStatistics Uploads::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

}  // namespace ingot::cuda
