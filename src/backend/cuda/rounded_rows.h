// Rows that a kernel rounds to bf16 as it writes them, for the linear right behind it, which would need a
// kernel of its own for that. Host only.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "backend/backend.h"
#include "memory/buffer_pool.h"

namespace ingot::cuda {

class RoundedRows {
 public:
  static constexpr int64_t kMostRows = 64;
  static constexpr int64_t kMostWidth = 32768;
  /// Of two copies: a kernel reads one and writes the other.
  static constexpr size_t kBytes = 2 * kMostRows * kMostWidth * sizeof(uint16_t);

  explicit RoundedRows(PooledBuffer memory) : memory_(std::move(memory)) {}

  /// f32 rows, one behind the other, that a launch would read rounded.
  struct Wanted {
    const float* of = nullptr;
    int64_t rows = 0;
    int64_t width = 0;
    friend bool operator==(const Wanted&, const Wanted&) = default;
  };
  /// Before each of some launches in a row: what the one behind it wants. `is_alone`: nothing else reads what
  /// the launch writes.
  void want(std::optional<Wanted> next, bool is_alone) {
    const bool fits = next && next->rows <= kMostRows && next->width <= kMostWidth;
    wanted_ = fits ? next : std::nullopt;
    is_alone_ = is_alone;
    there_ = std::exchange(coming_, std::nullopt);
  }
  /// Before and behind them.
  void forget() { wanted_ = coming_ = there_ = std::nullopt; }
  /// Where the launch is to write these rows rounded, too; null: nobody wants them. After find().
  uint16_t* begin(const float* of, int64_t rows, int64_t width) {
    if (wanted_ != Wanted{of, rows, width}) return nullptr;
    turn_ ^= 1;
    coming_ = wanted_;
    return place();
  }
  /// Whether nothing reads the rows but the launch that wants them rounded: they themselves may be left out.
  bool is_alone() const { return is_alone_; }
  /// These rows rounded by the launch before; null: it did not.
  uint16_t* find(const float* of, int64_t rows, int64_t width) const {
    return there_ == Wanted{of, rows, width} ? place() : nullptr;
  }

 private:
  uint16_t* place() const {
    return static_cast<uint16_t*>(memory_.data()) + static_cast<int64_t>(turn_) * (kMostRows * kMostWidth);
  }

  PooledBuffer memory_;
  std::optional<Wanted> wanted_;
  std::optional<Wanted> coming_;
  std::optional<Wanted> there_;
  int turn_ = 0;
  bool is_alone_ = false;
};

/// What a launch reads rounded, if it is a linear of generated tokens that needs nothing else of its rows.
std::optional<RoundedRows::Wanted> wanted_rounded_rows(const backend::Kernel& kernel,
                                                       const backend::Launch& launch);

}  // namespace ingot::cuda
