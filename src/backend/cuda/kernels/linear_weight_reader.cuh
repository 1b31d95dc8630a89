// A warp's run of the weights of its block's tiles on their way to its ring in shared memory, tile by tile.
#pragma once

#include "backend/cuda/kernels/linear_tile_heads.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"

namespace ingot::cuda {

/// A block's tiles of so many outputs: first, first + stride … below end.
struct TileRange {
  int outputs;
  int first;
  int end;
  int stride;
};

/// How tiles follow each other.
enum class TileOrder : uint8_t {
  parts,        // the first part's, then the next's …
  within_part,  // the same, but a block's are all of one part
  one_part,     // there is no other
  heads,        // tile_of_head()
};
template <TileOrder kOrder>
__device__ inline Tile tile_in_order(const SkinnyArguments& a, int tile, int outputs) {
  return kOrder == TileOrder::one_part ? Tile{0, tile * outputs} : tile_at(a, tile, outputs);
}

/// Of tiles with kHalves times 8 rows of weights. kEnd: any, or what usual_end() says.
template <int kHalves, TileOrder kOrder, LinearEnd kEnd>
class WeightReader {
 public:
  /// `copied`: of this lane, in the ring's first stage.
  __device__ __forceinline__ WeightReader(const SkinnyArguments& a, const LinearHeads& heads,
                                          const Slice& slice, const TileRange& tiles, uint32_t copied)
      : a_(a),
        heads_(heads),
        steps_(slice.steps),
        begin_(int64_t{slice.begin} * kStep + static_cast<int>(threadIdx.x) % 4 * 8),
        tiles_(tiles),
        copied_(copied),
        to_next_tile_((int64_t{tiles.stride * tiles.outputs} * a.linear.in - steps_ * kStep) * 2),
        policy_(weights_policy(true)),
        tile_(slice.steps > 0 ? tiles.first : tiles.end) {
    if (steps_ > 0) aim(tiles.first);
  }
  /// Asks for the weights of the next step, if there is one.
  __device__ __forceinline__ void read(int stage) {
    if (tile_ < tiles_.end) {
      const uint32_t to = copied_ + static_cast<uint32_t>(stage * (kHalves * kPieceBytes));
      const int bytes = kIsUsual || begin_ + int64_t{step_} * kStep < a_.linear.in ? 16 : 0;
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        copy_weights(to + static_cast<uint32_t>(h * kPieceBytes), weights_[h], bytes, policy_);
        weights_[h] += kStep * 2;
      }
      if (++step_ == steps_) begin_next_tile();
    }
    commit_copies();
  }
  __device__ __forceinline__ bool has_asked_for_all() const { return tile_ >= tiles_.end; }

 private:
  static constexpr bool kIsUsual = kEnd != LinearEnd::any;
  // Rows are as far from the next tile's as from those of any other: no tile has fewer.
  static constexpr bool kIsEven =
      kIsUsual && (kOrder == TileOrder::within_part || kOrder == TileOrder::one_part);

  __device__ __forceinline__ void begin_next_tile() {
    step_ = 0;
    tile_ += tiles_.stride;
    if constexpr (kIsEven) {
#pragma unroll
      for (int h = 0; h < kHalves; ++h) weights_[h] += to_next_tile_;
    } else if (tile_ < tiles_.end) {
      aim(tile_);
    }
  }
  __device__ __forceinline__ void aim(int tile_number) {
    if constexpr (kOrder == TileOrder::heads) {
      const TileOfHead tile = tile_of_head<kEnd>(a_, heads_, tile_number, tiles_.outputs);
      const auto* weight = static_cast<const char*>(a_.linear.parts[tile.part].weight);
      const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        const int64_t output =
            tile.first + tile.value(h * kPieceRows + lane / 4, tiles_.outputs, heads_.pairs);
        weights_[h] = weight + (output * a_.linear.in + begin_) * 2;
      }
    } else {
      const Tile tile = tile_in_order<kOrder>(a_, tile_number, tiles_.outputs);
#pragma unroll
      for (int h = 0; h < kHalves; ++h) weights_[h] = weights_of_half<kEnd>(a_, tile, h, begin_);
    }
  }

  const SkinnyArguments& a_;
  const LinearHeads& heads_;
  const int steps_;
  const int64_t begin_;  // this lane's first value of each row
  const TileRange tiles_;
  const uint32_t copied_;
  const int64_t to_next_tile_;  // in bytes, from the last value of a run
  const uint64_t policy_;
  const char* weights_[kHalves];  // this lane's next values
  int tile_;
  int step_ = 0;
};

}  // namespace ingot::cuda
