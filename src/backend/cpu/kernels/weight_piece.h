// What a thread of a prompt step reads next, asked for while it multiplies.
//
// Prompt kernels take weights in pieces of less than a KiB a row, too short for the machine to see ahead, and
// would wait for each of them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/kernels/linear_prefill.h"
#include "backend/cpu/kernels/weights_ahead.h"

namespace ingot::cpu {

/// Inputs k0 … k0 + depth of outputs first … first + count of a part. Without outputs: nothing.
struct WeightPiece {
  const PrefillPart* part = nullptr;
  int64_t first = 0;
  int64_t count = 0;
  int64_t k0 = 0;
  int64_t depth = 0;

  /// Asks for output n's share of it, into the second-level cache.
  void prefetch(int64_t in, int64_t n) const {
    if (!part->out_in) return;  // rows of outputs lie apart: the machine follows each
    const DType dtype = part->weight->dtype;
    const int64_t element = (part->first_output + first + n) * in + k0;
    const auto begin = address_of(part->weight->data) + static_cast<uintptr_t>(dtype_bytes(dtype, element));
    const auto bytes = static_cast<uintptr_t>(dtype_bytes(dtype, std::min(depth, in - k0)));
    for (uintptr_t at = begin; at < begin + bytes; at += 64) prefetch_far(at);
  }
};

/// Spreads the requests for a few pieces evenly over the steps of a pass.
class PiecesAhead {
 public:
  PiecesAhead(const WeightPiece* pieces, int64_t count, int64_t in, int64_t steps)
      : pieces_(pieces), count_(count), in_(in), steps_(steps) {
    for (int64_t i = 0; i < count; ++i) outputs_ += pieces[i].count;
  }
  void step() {
    for (++step_; asked_ * steps_ < outputs_ * step_; ++asked_) {
      while (n_ == pieces_->count && count_ > 1) {
        ++pieces_;
        --count_;
        n_ = 0;
      }
      pieces_->prefetch(in_, n_++);
    }
  }

 private:
  const WeightPiece* pieces_;
  int64_t count_;
  int64_t in_;
  int64_t steps_;
  int64_t outputs_ = 0;
  int64_t step_ = 0;
  int64_t asked_ = 0;
  int64_t n_ = 0;  // of the piece
};

}  // namespace ingot::cpu
