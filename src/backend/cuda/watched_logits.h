// A row of logits whose highest the linear that writes it finds, for the sampling right behind it, which
// would need a kernel of its own for that. Host only.
#pragma once

#include <optional>
#include <utility>

#include "backend/backend.h"
#include "backend/cuda/kernels/sample.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

class WatchedRow {
 public:
  /// `blocks`: the most that a kernel that watches has. memory: logits_watch_bytes(blocks).
  WatchedRow(PooledBuffer memory, int blocks)
      : memory_(std::move(memory)), watch_(logits_watch_in(memory_.data(), blocks)) {}

  /// Before each of some launches in a row: what the one behind it samples.
  void want(const std::optional<Sample>& next) {
    is_there_ = std::exchange(is_coming_, false);
    wanted_ = next;
  }
  /// Before and behind them.
  void forget() {
    wanted_.reset();
    is_coming_ = is_there_ = false;
  }
  /// For a launch that writes one row of logits: how it is to watch them; without `bests` where nobody wants
  /// that. After find().
  LogitsWatch begin(const float* logits, int64_t vocab) {
    if (!wanted_ || wanted_->logits != logits || wanted_->vocab != vocab) return {};
    watch_.sample = *wanted_;
    is_coming_ = true;
    return watch_;
  }
  /// What the launch before found of these; null: nothing.
  const LogitsWatch* find(const float* logits) const {
    return is_there_ && watch_.sample.logits == logits ? &watch_ : nullptr;
  }

 private:
  PooledBuffer memory_;
  LogitsWatch watch_;
  std::optional<Sample> wanted_;
  bool is_coming_ = false;
  bool is_there_ = false;
};

/// The one row that a launch samples, if it does.
std::optional<Sample> wanted_logits(const backend::Kernel& kernel, const backend::Launch& launch);

}  // namespace ingot::cuda
