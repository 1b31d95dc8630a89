// Recordings: slices captured as CUDA graphs, and tickets for what was submitted. Thread safety: as the
// backend's.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>

#include "backend/cuda/handles.h"

namespace ingot::cuda {

struct RecordingStatistics {
  uint64_t captured = 0;
  uint64_t replayed = 0;  // launches of a captured slice
  uint64_t direct = 0;    // slices launched kernel by kernel
};

class Recordings {
 public:
  /// Captured slices kept; the one that was not used for longest goes first.
  static constexpr size_t kMost = 256;

  /// Enqueues the slice that `enqueue` enqueues: directly when the id is seen for the first time (or is 0),
  /// captured when it comes again, replayed from then on. Errors: device_failed, and those of `enqueue`.
  void run(uint64_t id, cudaStream_t stream, const std::function<void()>& enqueue);
  /// A slice as a graph, once.
  static ExecutableGraph capture(cudaStream_t stream, const std::function<void()>& enqueue);
  RecordingStatistics statistics() const { return statistics_; }

 private:
  struct Recording {
    ExecutableGraph graph;  // none: seen once
    std::list<uint64_t>::iterator used;
  };

  std::map<uint64_t, Recording> recordings_;
  std::list<uint64_t> used_;  // the latest last
  RecordingStatistics statistics_;
};

/// Events behind submitted work, by number.
class Tickets {
 public:
  /// A number for all that the stream has by now.
  uint64_t issue(cudaStream_t stream);
  /// The event of a ticket, or of a later one where it is gone; null before any was issued.
  cudaEvent_t event(uint64_t ticket) const;

 private:
  static constexpr size_t kKept = 8;
  uint64_t next_ = 1;
  std::deque<std::pair<uint64_t, Event>> issued_;
};

}  // namespace ingot::cuda
