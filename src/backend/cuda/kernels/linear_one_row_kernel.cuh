// One row: a block of 16 warps computes tiles of a few outputs; each warp has its run of K, the same in every
// tile. The whole row lies in shared memory, where the block has prepared it itself, if that was still to be
// done. Weights come through a ring of shared memory that belongs to the warp and reaches across tiles.
//
// Where rows are short, a multiprocessor has two blocks, each with a share of the tiles: what one waits for
// at the end of a tile, the other does not, and as soon as one is done, a block of the next kernel takes its
// place and fills its ring. Where they are long, it has one with twice the ring. (One small block of each of
// two kernels would not do: nothing keeps two of the same kernel from sharing a multiprocessor, while another
// has none.) Of models with short rows a kernel takes a few microseconds, most of which is the way from the
// row to the outputs. So all that the end of a tile reads is asked for early, and all blocks have as many
// tiles: blocks that are not needed would only keep those of the next kernel from their rings.
//
// Of queries, keys and values the kernel also rotates the heads and writes keys and values to the cache: the
// outputs of a tile are such that both of a pair are in it. Where heads have norms, a cluster of blocks
// multiplies a head, and its first block finishes it.
//
// What is usual (linear_usual.cuh, bf16, RMS norms, heads rotated half against half) has kernels of its own
// with nothing else in them. Measured in chains of a layer's linears on an H200, with a fifth to a half of
// the instructions: Llama-3.2-1B 34.5 -> 31.8 us, 8B 106.8 -> 101.9, Qwen3-0.6B 15.7 -> 14.9.
//
// What lost in the same chains: warps that do not wait for each other at the end of a tile, and three blocks
// on a multiprocessor (15 to 45 % more time); copies that displace as others do, or do not have their whole
// lines fetched (8B: 23 %); half a ring before the row is asked for (4 %). No difference: copies of 128 bytes
// of four rows in place of 64 of eight, neighbouring tiles for a block.
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/head_parameters.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_one_row_inputs.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tile_heads.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/linear_weight_reader.cuh"
#include "backend/cuda/kernels/sample_best.cuh"

namespace ingot::cuda {

inline constexpr int kOneRowThreads = kSlices * kWarp;
inline constexpr int kOneRowBlocks = 2;    // of a multiprocessor, if rows are short
inline constexpr int64_t kLongRow = 4096;  // values of a row that is long

/// What becomes of the outputs.
enum class Placing : uint8_t { outputs, watched_outputs, tiles_of_heads, whole_heads };

inline constexpr int kFewHeadBlocks = 4;  // that multiply a head together, where it has a norm
inline constexpr int kMoreHeadBlocks = 8;
inline constexpr int kMostOfHead = 256;

struct OneRowArguments {
  SkinnyArguments skinny;
  RowPreparation row;                // x: null where the row is prepared
  LinearHeads heads;                 // of kernels that place them
  LogitsWatch watch;                 // of kernels that watch outputs
  int head_blocks = kFewHeadBlocks;  // of a cluster, of kernels that have whole heads
};

/// Of kHalves times 8 rows of weights. kDeep: there is one block on a multiprocessor.
template <int kHalves, bool kDeep>
struct OneRowShape {
  static constexpr int kStages = (kHalves == 1 ? 10 : 5) * (kDeep ? 2 : 1);
  static constexpr uint32_t kStageBytes = kHalves * kPieceBytes;  // of a warp
  static constexpr int kRingBytes = kSlices * kStages * kStageBytes;
  static constexpr int kPartials = 2 * kPieceRows;  // of a warp
  static constexpr int kFixedBytes = kRingBytes + 2 * kSlices * kPartials * 4;
};

/// In place of WatchedLogits.
struct Unwatched {
  __device__ explicit Unwatched(const LogitsWatch& /*watch*/) {}
  __device__ void begin(int /*threads*/) const {}
  __device__ void consider(int /*id*/, float /*logit*/) const {}
  __device__ void end() const {}
};

/// Whether the usual kernel that places outputs so prepares its row, too.
__host__ __device__ constexpr bool usually_prepares(Placing placing, LinearEnd end) {
  return placing != Placing::outputs || end == LinearEnd::gated_silu;
}

__host__ __device__ constexpr TileOrder order_of(Placing placing, LinearEnd end) {
  if (placing == Placing::whole_heads) return TileOrder::within_part;
  if (placing == Placing::tiles_of_heads) return TileOrder::heads;
  return end == LinearEnd::any ? TileOrder::parts : TileOrder::one_part;
}

/// kEnd: with a usual one, one part where outputs are not of heads, and a row that is not prepared, or an RMS
/// norm with weights in bf16.
template <DType kType, int kHalves, Placing kPlacing, bool kDeep, LinearEnd kEnd>
__global__ void __launch_bounds__(kOneRowThreads, kDeep ? 1 : kOneRowBlocks)
    linear_one_row(const __grid_constant__ OneRowArguments a) {
  using S = OneRowShape<kHalves, kDeep>;
  constexpr int kStages = S::kStages;
  extern __shared__ uint4 shared[];
  __shared__ RowPartials row_partials;
  __shared__ float head_values[kPlacing == Placing::whole_heads ? kMostOfHead : 1];
  __shared__ HeadParameters<kPlacing == Placing::whole_heads ? kMostOfHead : 1> head_parameters;
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  constexpr bool kIsUsual = kEnd != LinearEnd::any;
  constexpr bool kOfHeads = kPlacing == Placing::tiles_of_heads || kPlacing == Placing::whole_heads;
  constexpr TileOrder kOrder = order_of(kPlacing, kEnd);
  const bool gated = is_gated<kEnd>(linear.epilogue);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Slice slice = slice_of(linear.in, warp);
  const int tile_outputs = (kPlacing == Placing::outputs && gated ? kHalves / 2 : kHalves) * kPieceRows;
  // Its tiles: those of a part of a head, or one for each round of all blocks.
  const int own_tiles = static_cast<int>(a.heads.head_dim) / (tile_outputs * a.head_blocks);
  const bool is_of_head = kPlacing == Placing::whole_heads;
  const int first_tile = static_cast<int>(blockIdx.x) * (is_of_head ? own_tiles : 1);
  const int parts = kOrder == TileOrder::one_part ? 1 : linear.part_count;
  const int tiles = is_of_head ? first_tile + own_tiles : skinny.first_tile[parts];
  const int stride = is_of_head ? 1 : static_cast<int>(gridDim.x);

  char* const dynamic = reinterpret_cast<char*>(shared);
  const uint32_t ring = shared_address(dynamic + warp * kStages * S::kStageBytes);
  const uint32_t copied = ring + copied_place(lane);
  const uint32_t loaded = ring + loaded_place(lane);
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  char* const row = dynamic + S::kFixedBytes;
  if constexpr (kPlacing == Placing::whole_heads) arrive_at_cluster();
  // Nobody writes weights: the first are on their way before the inputs are there.
  WeightReader<kHalves, kOrder, kEnd> weights(skinny, a.heads, slice,
                                              {tile_outputs, first_tile, tiles, stride}, copied);
  begin_next_kernel();
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) weights.read(stage);
  const int head_of_block = static_cast<int>(blockIdx.x) / a.head_blocks;  // where blocks have whole heads
  int64_t place_of_head = 0;
  if constexpr (kPlacing == Placing::whole_heads)
    place_of_head = head_parameters.begin(a.heads, head_of_block);
  const int output = static_cast<int>(threadIdx.x);  // that this thread finishes, of each tile
  const bool adds_residual =
      !kOfHeads && kEnd != LinearEnd::gated_silu && linear.epilogue.residual != nullptr;
  float residual = 0;
  float rotation = 0;
  Tile tile = {};  // that this thread finishes
  UsualOutput of_head;
  int64_t cache = -1;
  if (kIsUsual && kPlacing == Placing::tiles_of_heads && output < kWarp)
    cache = place_in_cache(a.heads, 0, 0);
  /// Asks for what is added to the outputs of a tile, so that nobody waits for it at the end.
  const auto read_more = [&](int tile_number) {
    if (output >= kWarp) return;
    if constexpr (kIsUsual && kPlacing == Placing::tiles_of_heads) {
      of_head.begin(a.heads, tile_of_head<kEnd>(skinny, a.heads, tile_number, tile_outputs), output,
                    tile_outputs, cache);
      return;
    }
    tile = tile_in_order<kOrder>(skinny, tile_number, tile_outputs);
    const int n = tile.first_output + output;
    if (adds_residual && output < tile_outputs && n < linear.parts[0].outputs)
      residual = linear.epilogue.residual[n];
  };
  float row_scale = 1;
  // The kernel's parameters come from memory, too: those that the end of a tile needs, by now.
  if constexpr (kIsUsual && !kOfHeads)
    asm volatile("" ::"l"(linear.parts[0].out), "l"(linear.epilogue.residual));
  RowPreparation preparation = a.row;
  if constexpr (kIsUsual) {
    preparation.norm = LinearNorm::rms;
    preparation.norm_weight.dtype = DType::bf16;
  }
  if (kIsUsual ? !usually_prepares(kPlacing, kEnd) : a.row.x == nullptr) {
    wait_for_inputs();
    if constexpr (kPlacing == Placing::whole_heads) rotation = head_parameters.rotation(a.heads);
    copy_slice(linear, slice, row);
    if (!kIsUsual && linear.row_scales != nullptr) row_scale = *linear.row_scales;
  } else {
    KeptRow<kKeptFours> kept;
    UsualNormWeights norm_weights;
    if constexpr (kIsUsual) {
      norm_weights.load(preparation, kept);
    } else {
      kept.load_weights(preparation);
    }
    wait_for_inputs();
    kept.load(preparation, preparation.x);
    if constexpr (kPlacing == Placing::whole_heads) rotation = head_parameters.rotation(a.heads);
    if constexpr (kIsUsual) norm_weights.decode(kept);
    kept.normalise(preparation, row_partials);
    float factor = 1;
    if constexpr (kType == DType::f16) {
      const int exponent = kept.exponent(row_partials);
      factor = power_of_two(exponent);
      row_scale = power_of_two(-exponent);
    }
#pragma unroll
    for (int i = 0; i < kKeptFours; ++i) {
      const int64_t at = kept.at(i);
      if (at >= skinny.pitch) continue;
      *reinterpret_cast<uint2*>(row + at * 2) =
          kType == DType::bf16 ? as_bf16(kept.y[i]) : as_f16(kept.y[i], factor);
    }
    __syncthreads();
  }

  if constexpr (kPlacing == Placing::whole_heads) {
    head_parameters.keep_rotation(rotation);
    wait_for_cluster();  // all blocks have begun
  }
  std::conditional_t<kPlacing == Placing::watched_outputs, WatchedLogits, Unwatched> watched(a.watch);
  watched.begin(kOneRowThreads);
  // A piece whose rows are all the one row.
  const uint32_t inputs = shared_address(row) + static_cast<uint32_t>(slice.begin * 64 + lane / 8 * 16);
  // Where the ring holds all of the warp's weights, nobody has to ask for more of them.
  const bool is_all_asked = weights.has_asked_for_all();
  if (is_all_asked) {
    wait_for_copies<0>();
    __syncwarp();
  }
  uint32_t stage = 0;
  int turn = 0;
  for (int tile_number = first_tile; tile_number < tiles; tile_number += stride, turn ^= 1) {
    // Two sets of partial sums in turn: nobody writes one before everybody has passed the barrier after those
    // who read it.
    float* set = partials + turn * (kSlices * S::kPartials);
    read_more(tile_number);
    uint32_t inputs_of_step = inputs;
    float sums[4] = {};
    int step = 0;
    if (is_all_asked) {
      // Two steps at a time: nothing is waited for but the matrix instructions before.
#pragma unroll 1
      for (; step + 2 <= slice.steps; step += 2, inputs_of_step += 128) {
        const StepPieces first = load_pieces<kHalves>(inputs_of_step, loaded + stage * S::kStageBytes);
        const StepPieces second =
            load_pieces<kHalves>(inputs_of_step + 64, loaded + (stage + 1) * S::kStageBytes);
        multiply_pieces<kType>(sums, first);
        multiply_pieces<kType>(sums, second);
        stage += 2;
      }
    }
#pragma unroll 1
    for (; step < slice.steps; ++step, inputs_of_step += 64) {
      if (!is_all_asked) {
        wait_for_copies<kStages - 2>();
        __syncwarp();  // the copies of all lanes are there; the stage before is read
        weights.read(static_cast<int>(stage == 0 ? kStages - 1 : stage - 1));
      }
      multiply_pieces<kType>(sums, load_pieces<kHalves>(inputs_of_step, loaded + stage * S::kStageBytes));
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    if (lane % 4 == 0) {  // all columns are the one row
      float* own = set + warp * S::kPartials + lane / 4;
      own[0] = sums[0];
      if constexpr (kHalves == 2) own[kPieceRows] = sums[2];
    }
    __syncthreads();
    if (output >= (kPlacing == Placing::tiles_of_heads ? kWarp : tile_outputs)) continue;
    if constexpr (kPlacing == Placing::tiles_of_heads) {
      const float sum = sum_of_slices(set + output % tile_outputs, S::kPartials);
      if constexpr (kIsUsual) {
        of_head.write(output, tile_outputs, sum);
      } else {
        const TileOfHead head = tile_of_head(a.heads, tile, tile_outputs);
        const int n = head.first + head.value(output % tile_outputs, tile_outputs, a.heads.pairs);
        place_output(a.heads, head, output, tile_outputs,
                     biased(sum, row_scale, linear.parts[tile.part].bias, n));
      }
    } else if (tile.first_output + output < linear.parts[tile.part].outputs) {
      const float sum = sum_of_slices(set + output, S::kPartials);
      if constexpr (kPlacing == Placing::whole_heads) {
        const int n = tile.first_output + output;
        float* const value = head_values + n % static_cast<int>(a.heads.head_dim);
        store_to_rank(shared_address(value), 0,
                      kIsUsual ? sum : biased(sum, row_scale, linear.parts[tile.part].bias, n));
      } else {
        const float up = gated ? sum_of_slices(set + output + kPieceRows, S::kPartials) : 0;
        const float y = write_row_output<kEnd>(skinny, tile, output, row_scale, sum, up, residual);
        watched.consider(tile.first_output + output, y);
      }
    }
  }
  if (warp == 0) watched.end();
  if constexpr (kPlacing == Placing::whole_heads) {
    arrive_at_cluster();
    if (rank_in_cluster() != 0) return;
    wait_for_cluster();
    if (warp == 0)
      head_parameters.template place<kIsUsual>(a.heads, head_of_block, head_values, place_of_head);
  }
}

}  // namespace ingot::cuda
