// The work of a step's attention as a list of items, cut up evenly among teams of threads: row by row, in a
// row piece by piece, and of a piece the key heads (and parts of their groups of query heads). A team has
// neighbours, so that it goes from one to the next by itself.
#pragma once

#include "backend/cuda/kernels/attention_piece.cuh"

namespace ingot::cuda {

inline constexpr int kTeams = 4;  // of a multiprocessor

/// What the kernels of generated tokens are given.
struct Decode {
  PagedAttention attention;
  SplitSums sums;
  int chunks;  // of a key head's query heads
};

/// A team's items, all that is known of them in every thread. To be used by whole warps. kTogether: pieces of
/// an item, which a team has all of; the last item of a row's heads may have fewer.
template <int kTogether>
class PieceWalk {
 public:
  PieceWalk() = default;
  /// `chunks`: of a key head's query heads. `team` of `teams`.
  __device__ PieceWalk(const PagedAttention& a, int chunks, int team, int teams)
      : of_piece_(a.kv_heads * chunks), chunks_(chunks) {
    if (a.sequences == 1 && a.rows == 1) {
      take_only_row(a, team, teams);
      return;
    }
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    int pieces = 0;
#pragma unroll 1
    for (int s = lane; s < a.sequences; s += kWarp) pieces += pieces_of(a, s);
#pragma unroll
    for (int other = kWarp / 2; other > 0; other /= 2) pieces += __shfl_xor_sync(0xffffffff, pieces, other);
    const int items = pieces * of_piece_;
    left_ = items / teams + (team < items % teams ? 1 : 0);
    if (left_ == 0) return;
    int before = items / teams * team + min(team, items % teams);  // items of sequences from here on
#pragma unroll 1
    for (int base = 0;; base += kWarp) {
      const int own = base + lane < a.sequences ? pieces_of(a, base + lane) * of_piece_ : 0;
      int sum = own;  // with the lanes before
#pragma unroll
      for (int step = 1; step < kWarp; step *= 2) {
        const int add = __shfl_up_sync(0xffffffff, sum, step);
        if (lane >= step) sum += add;
      }
      const unsigned beyond = __ballot_sync(0xffffffff, sum > before);
      if (beyond != 0) {
        const int source = __ffs(static_cast<int>(beyond)) - 1;
        before -= __shfl_sync(0xffffffff, sum - own, source);
        enter(a, base + source);
        break;
      }
      before -= __shfl_sync(0xffffffff, sum, kWarp - 1);
    }
#pragma unroll 1
    while (before >= splits_ * of_piece_) {
      before -= splits_ * of_piece_;
      enter_row(a, piece_.row + 1);
    }
    item_ = before / splits_;
    piece_.split = before % splits_;
  }

  __device__ bool done() const { return left_ == 0; }
  /// `rank`: which of the item's pieces, where that many are left.
  template <typename S>
  __device__ PieceItem item(int rank = 0) const {
    AttentionPiece piece = piece_;
    piece.split = piece.split * kTogether + rank;
    return {piece, item_ / chunks_, item_ % chunks_ * S::kHeads};
  }

  __device__ void next(const PagedAttention& a) {
    if (--left_ == 0 || ++piece_.split < splits_) return;
    piece_.split = 0;
    if (++item_ < of_piece_) return;
    item_ = 0;
    if (piece_.row + 1 < end_) return enter_row(a, piece_.row + 1);
    int sequence = piece_.place.sequence + 1;
    while (a.seq_start[sequence] == a.seq_start[sequence + 1]) ++sequence;
    enter(a, sequence);
  }

 private:
  /// As the constructor, for one row of one sequence: everything that is read is asked for at once, and where
  /// every team has one item nothing is divided but by splits.
  __device__ __forceinline__ void take_only_row(const PagedAttention& a, int team, int teams) {
    piece_.row = a.seq_start[0];
    end_ = a.seq_start[1];
    const int position = a.context_len[0] - 1;
    piece_.place = {0, position, first_key(a, position)};
    splits_ = items_of(a, piece_.place.keys());
    const int items = end_ > piece_.row ? splits_ * of_piece_ : 0;
    if (items == teams) {
      left_ = 1;
    } else {
      left_ = items / teams + (team < items % teams ? 1 : 0);
      if (left_ == 0) return;
      team = items / teams * team + min(team, items % teams);
    }
    item_ = splits_ == 1 ? team : team / splits_;
    piece_.split = team - item_ * splits_;
  }

  __device__ static AttentionRow place_of(const PagedAttention& a, int sequence, int end, int row) {
    const int position = a.context_len[sequence] - (end - row);
    return {sequence, position, first_key(a, position)};
  }
  __device__ static int items_of(const PagedAttention& a, int keys) {
    return (splits_of(a, keys) + kTogether - 1) / kTogether;
  }
  __device__ static int pieces_of(const PagedAttention& a, int sequence) {
    const int end = a.seq_start[sequence + 1];
    int pieces = 0;
#pragma unroll 1
    for (int row = a.seq_start[sequence]; row < end; ++row)
      pieces += items_of(a, place_of(a, sequence, end, row).keys());
    return pieces;
  }
  __device__ void enter(const PagedAttention& a, int sequence) {
    end_ = a.seq_start[sequence + 1];
    piece_.place.sequence = sequence;
    enter_row(a, a.seq_start[sequence]);
  }
  __device__ void enter_row(const PagedAttention& a, int row) {
    piece_.row = row;
    piece_.place = place_of(a, piece_.place.sequence, end_, row);
    splits_ = items_of(a, piece_.place.keys());
  }

  AttentionPiece piece_;
  int of_piece_;
  int chunks_;
  int item_;    // of the piece
  int splits_;  // of the row, in items
  int end_;     // of the sequence's rows
  int left_;    // items, with this one
};

/// The one piece of a team that shares an item, all kJoinedAtOnce pieces at most of a row here: of the item
/// number `number` the piece number `rank`, which may have no keys.
class OnePiece {
 public:
  __device__ OnePiece(const PagedAttention& a, int chunks, int number, int items, int rank)
      : items_(a, chunks, number, items), rank_(rank) {}

  /// Whether there is no such item.
  __device__ bool done() const { return items_.done(); }
  template <typename S>
  __device__ PieceItem item() const {
    return items_.template item<S>(rank_);
  }

 private:
  PieceWalk<kJoinedAtOnce> items_;
  int rank_;
};

}  // namespace ingot::cuda
