// Uploads: weights on their way from a mapped file to the device, through pinned staging.
//
// A few threads of the host copy pieces of the file (which may come from the disk) into staging buffers of
// their own, from where the device's copy engine takes them on a stream of that thread while the next piece
// is copied. The threads and the staging end with wait(). Thread safety: one caller; the threads are
// its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

class Uploads {
 public:
  /// Threads of the host that copy; a page cache needs several to fill a bus of 64 GB/s.
  static int default_threads();
  /// What one piece has at most, and each thread's two staging buffers.
  static constexpr size_t kPieceBytes = size_t{8} << 20;

  /// `staging`: pinned memory.
  Uploads(int device, int threads, std::function<PooledBuffer(size_t bytes)> staging);
  /// Waits for what is on its way.
  ~Uploads();
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;

  /// Begins to copy; both places stay as they are until wait(). Errors: out_of_memory for the staging.
  void add(void* to, const void* from, size_t bytes);
  /// Returns when everything that was added is on the device. Errors: device_failed; from then on at every
  /// call, since nobody knows what is missing.
  void wait();
  backend::ImportStatistics statistics() const;

 private:
  struct Piece {
    void* to;
    const void* from;
    size_t bytes;
  };
  using Clock = std::chrono::steady_clock;

  void start();
  void work(PooledBuffer first, PooledBuffer second);
  bool next(Piece& piece);

  const int device_;
  const int threads_;
  const std::function<PooledBuffer(size_t bytes)> staging_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> waiting_;
  size_t unfinished_ = 0;  // pieces
  bool ending_ = false;    // no more pieces will come for these threads
  std::exception_ptr error_;
  backend::ImportStatistics statistics_;
  Clock::time_point started_;
  std::vector<std::thread> workers_;
};

}  // namespace ingot::cuda
