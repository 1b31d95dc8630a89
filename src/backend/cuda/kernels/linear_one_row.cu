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
#include "backend/cuda/kernels/linear_one_row.h"

#include <type_traits>

#include "backend/cuda/kernels/activation_rows.cuh"
#include "backend/cuda/kernels/head_parameters.cuh"
#include "backend/cuda/kernels/linear_cluster.cuh"
#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tile_heads.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/sample_best.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = kSlices * kWarp;
constexpr int kBlocks = 2;       // of a multiprocessor, if rows are short
constexpr int64_t kLong = 4096;  // values of a row that is long
constexpr int kKept = 2;
constexpr int64_t kMostPrepared = int64_t{kKept} * kRowStep;
constexpr int64_t kMostValues = 16 * 1024;  // of a row

/// What follows the products.
enum class OneRowEnd : uint8_t { outputs, watched_outputs, tiles_of_heads, whole_heads };

constexpr int kFewHeadBlocks = 4;  // that multiply a head together, where it has a norm
constexpr int kMoreHeadBlocks = 8;
constexpr int kMostOfHead = 256;

struct OneRowArguments {
  SkinnyArguments skinny;
  RowPreparation row;                // x: null where the row is prepared
  LinearHeads heads;                 // of kernels that place them
  LogitsWatch watch;                 // of kernels that watch outputs
  int head_blocks = kFewHeadBlocks;  // of a cluster, of kernels that have whole heads
};

/// Of kHalves times 8 rows of weights. kDeep: there is one block on a multiprocessor.
template <int kHalves, bool kDeep>
struct Shape {
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

/// Writes this warp's run of the row, which the kernel ahead has prepared, to shared memory.
__device__ void copy_slice(const SkinnyLinear& linear, const Slice& slice, char* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto* from = reinterpret_cast<const uint4*>(linear.x) + slice.begin * 4;
  auto* place = reinterpret_cast<uint4*>(to) + slice.begin * 4;
#pragma unroll 4
  for (int i = lane; i < slice.steps * 4; i += kWarp) place[i] = from[i];
  __syncwarp();
}

/// What a step multiplies.
template <int kHalves>
struct Pieces {
  uint4 input;
  uint4 low;
  uint4 high;
};
template <int kHalves>
__device__ inline Pieces<kHalves> load_pieces(uint32_t inputs, uint32_t weights) {
  Pieces<kHalves> pieces{load_piece(inputs), load_piece(weights), {}};
  if constexpr (kHalves == 2) pieces.high = load_piece(weights + kPieceBytes);
  return pieces;
}

template <DType kType, int kHalves, OneRowEnd kEnd, bool kDeep>
__global__ void __launch_bounds__(kThreads, kDeep ? 1 : kBlocks)
    linear_one_row(const __grid_constant__ OneRowArguments a) {
  using S = Shape<kHalves, kDeep>;
  constexpr int kStages = S::kStages;
  extern __shared__ uint4 shared[];
  __shared__ RowPartials row_partials;
  __shared__ float head_values[kEnd == OneRowEnd::whole_heads ? kMostOfHead : 1];
  __shared__ HeadParameters<kEnd == OneRowEnd::whole_heads ? kMostOfHead : 1> head_parameters;
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  const bool gated = linear.epilogue.gated;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Slice slice = slice_of(linear.in, warp);
  const int64_t begin = int64_t{slice.begin} * kStep + lane % 4 * 8;  // this lane's first value of each row
  const int tile_outputs = (kEnd == OneRowEnd::outputs && gated ? kHalves / 2 : kHalves) * kPieceRows;
  // Its tiles: those of a part of a head, or one for each round of all blocks.
  const int own_tiles = static_cast<int>(a.heads.head_dim) / (tile_outputs * a.head_blocks);
  const bool is_of_head = kEnd == OneRowEnd::whole_heads;
  const int first_tile = static_cast<int>(blockIdx.x) * (is_of_head ? own_tiles : 1);
  const int tiles = is_of_head ? first_tile + own_tiles : skinny.first_tile[linear.part_count];
  const int stride = is_of_head ? 1 : static_cast<int>(gridDim.x);

  char* const dynamic = reinterpret_cast<char*>(shared);
  const uint32_t ring = shared_address(dynamic + warp * kStages * S::kStageBytes);
  const uint32_t copied = ring + copied_place(lane);
  const uint32_t loaded = ring + loaded_place(lane);
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  char* const row = dynamic + S::kFixedBytes;
  const uint64_t policy = weights_policy(true);
  const char* weights[kHalves];  // this lane's first values of the tile that is being read
  const auto aim = [&](int tile_number) {
    const Tile tile = tile_at(skinny, tile_number, tile_outputs);
    if constexpr (kEnd == OneRowEnd::tiles_of_heads) {
      const TileOfHead head = tile_of_head(a.heads, tile, tile_outputs);
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        const int64_t output =
            head.first + head.value(h * kPieceRows + lane / 4, tile_outputs, a.heads.pairs);
        weights[h] =
            static_cast<const char*>(linear.parts[tile.part].weight) + (output * linear.in + begin) * 2;
      }
    } else {
#pragma unroll
      for (int h = 0; h < kHalves; ++h) weights[h] = weights_of_half(skinny, tile, h, begin);
    }
  };
  int reading_tile = slice.steps > 0 ? first_tile : tiles;
  int reading_step = 0;
  /// Asks for the weights of the next step, if there is one.
  const auto read_weights = [&](int stage) {
    if (reading_tile < tiles) {
      const uint32_t to = copied + static_cast<uint32_t>(stage * S::kStageBytes);
      const int64_t offset = int64_t{reading_step} * (kStep * 2);
      const int bytes = begin + int64_t{reading_step} * kStep < linear.in ? 16 : 0;
#pragma unroll
      for (int h = 0; h < kHalves; ++h)
        copy_weights(to + static_cast<uint32_t>(h * kPieceBytes), weights[h] + offset, bytes, policy);
      if (++reading_step == slice.steps) {
        reading_step = 0;
        reading_tile += stride;
        if (reading_tile < tiles) aim(reading_tile);
      }
    }
    commit_copies();
  };

  begin_next_kernel();
  if constexpr (kEnd == OneRowEnd::whole_heads) arrive_at_cluster();
  // Nobody writes weights: the first are on their way before the inputs are there.
  if (slice.steps > 0) aim(first_tile);
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) read_weights(stage);
  const int head_of_block = static_cast<int>(blockIdx.x) / a.head_blocks;  // where blocks have whole heads
  int64_t place_of_head = 0;
  if constexpr (kEnd == OneRowEnd::whole_heads) place_of_head = head_parameters.begin(a.heads, head_of_block);
  const int output = static_cast<int>(threadIdx.x);  // that this thread finishes, of each tile
  const bool adds_residual = kEnd <= OneRowEnd::watched_outputs && linear.epilogue.residual != nullptr;
  float residual = 0;
  float rotation = 0;
  Tile next_tile = {};  // that this thread finishes
  /// Asks for what is added to the outputs of a tile, so that nobody waits for it at the end.
  const auto read_residual = [&](int tile_number) {
    if (output >= kWarp || tile_number >= tiles) return;
    next_tile = tile_at(skinny, tile_number, tile_outputs);
    const int n = next_tile.first_output + output;
    if (adds_residual && output < tile_outputs && n < linear.parts[0].outputs)
      residual = linear.epilogue.residual[n];
  };
  const auto read_more = [&](int tile_number) {
    if constexpr (kEnd == OneRowEnd::whole_heads) rotation = head_parameters.rotation(a.heads);
    read_residual(tile_number);
  };
  float row_scale = 1;
  if (a.row.x == nullptr) {
    wait_for_inputs();
    read_more(first_tile);
    copy_slice(linear, slice, row);
    if (linear.row_scales != nullptr) row_scale = *linear.row_scales;
  } else {
    KeptRow<kKept> kept;
    kept.load_weights(a.row);
    wait_for_inputs();
    kept.load(a.row, a.row.x);
    read_more(first_tile);
    kept.normalise(a.row, row_partials);
    float factor = 1;
    if constexpr (kType == DType::f16) {
      const int exponent = kept.exponent(row_partials);
      factor = power_of_two(exponent);
      row_scale = power_of_two(-exponent);
    }
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
      const int64_t at = kept.at(i);
      if (at >= skinny.pitch) continue;
      *reinterpret_cast<uint2*>(row + at * 2) =
          kType == DType::bf16 ? as_bf16(kept.y[i]) : as_f16(kept.y[i], factor);
    }
    __syncthreads();
  }

  if constexpr (kEnd == OneRowEnd::whole_heads) {
    head_parameters.keep_rotation(rotation);
    wait_for_cluster();  // all blocks have begun
  }
  std::conditional_t<kEnd == OneRowEnd::watched_outputs, WatchedLogits, Unwatched> watched(a.watch);
  watched.begin(kThreads);
  // A piece whose rows are all the one row.
  const uint32_t inputs = shared_address(row) + static_cast<uint32_t>(slice.begin * 64 + lane / 8 * 16);
  // Where the ring holds all of the warp's weights, nobody has to ask for more of them.
  const bool is_all_asked = reading_tile >= tiles;
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
    uint32_t inputs_of_step = inputs;
    float sums[4] = {};
    int step = 0;
    if (is_all_asked) {
      // Two steps at a time: nothing is waited for but the matrix instructions before.
#pragma unroll 1
      for (; step + 2 <= slice.steps; step += 2, inputs_of_step += 128) {
        const Pieces<kHalves> first = load_pieces<kHalves>(inputs_of_step, loaded + stage * S::kStageBytes);
        const Pieces<kHalves> second =
            load_pieces<kHalves>(inputs_of_step + 64, loaded + (stage + 1) * S::kStageBytes);
        multiply_pieces<kType>(sums, first.low, first.high, first.input);
        multiply_pieces<kType>(sums, second.low, second.high, second.input);
        stage += 2;
      }
    }
#pragma unroll 2
    for (; step < slice.steps; ++step, inputs_of_step += 64) {
      if (!is_all_asked) {
        wait_for_copies<kStages - 2>();
        __syncwarp();  // the copies of all lanes are there; the stage before is read
        read_weights(static_cast<int>(stage == 0 ? kStages - 1 : stage - 1));
      }
      const Pieces<kHalves> pieces = load_pieces<kHalves>(inputs_of_step, loaded + stage * S::kStageBytes);
      multiply_pieces<kType>(sums, pieces.low, pieces.high, pieces.input);
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }
    if (lane % 4 == 0) {  // all columns are the one row
      float* own = set + warp * S::kPartials + lane / 4;
      own[0] = sums[0];
      if constexpr (kHalves == 2) own[kPieceRows] = sums[2];
    }
    __syncthreads();
    if (output >= (kEnd == OneRowEnd::tiles_of_heads ? kWarp : tile_outputs)) continue;
    const Tile tile = next_tile;
    const float added = residual;
    read_residual(tile_number + stride);
    if constexpr (kEnd == OneRowEnd::tiles_of_heads) {
      const TileOfHead head = tile_of_head(a.heads, tile, tile_outputs);
      const int n = head.first + head.value(output % tile_outputs, tile_outputs, a.heads.pairs);
      const float sum = sum_of_slices(set + output % tile_outputs, S::kPartials);
      const float y = biased(sum, row_scale, linear.parts[tile.part].bias, n);
      place_output(a.heads, head, output, tile_outputs, y);
      continue;
    }
    if (tile.first_output + output >= linear.parts[tile.part].outputs) continue;
    const float sum = sum_of_slices(set + output, S::kPartials);
    if constexpr (kEnd == OneRowEnd::whole_heads) {
      const int n = tile.first_output + output;
      float* const place = head_values + n % static_cast<int>(a.heads.head_dim);
      store_to_rank(shared_address(place), 0, biased(sum, row_scale, linear.parts[tile.part].bias, n));
      continue;
    }
    const float up = gated ? sum_of_slices(set + output + kPieceRows, S::kPartials) : 0;
    const float y = write_row_output(skinny, tile, output, row_scale, sum, up, added);
    watched.consider(tile.first_output + output, y);
  }
  if (warp == 0) watched.end();
  if constexpr (kEnd == OneRowEnd::whole_heads) {
    arrive_at_cluster();
    if (rank_in_cluster() != 0) return;
    wait_for_cluster();
    if (warp == 0) head_parameters.place(a.heads, head_of_block, head_values, place_of_head);
  }
}

template <bool kDeep>
int blocks_of(const Gpu& gpu) {
  return (kDeep ? 1 : kBlocks) * gpu.multiprocessors;
}

template <int kHalves, bool kDeep>
int bytes_of(int64_t in) {
  return Shape<kHalves, kDeep>::kFixedBytes + static_cast<int>(prepared_pitch(in)) * 2;
}

template <DType kType, int kHalves, bool kDeep>
void launch(const Gpu& gpu, const OneRowArguments& arguments) {
  const LinearHeads& heads = arguments.heads;
  auto kernel = linear_one_row<kType, kHalves, OneRowEnd::outputs, kDeep>;
  if (arguments.watch.bests != nullptr)
    kernel = linear_one_row<kType, kHalves, OneRowEnd::watched_outputs, kDeep>;
  const int tiles = arguments.skinny.first_tile[arguments.skinny.linear.part_count];
  // Blocks with as many tiles each: what is left of a multiprocessor is for the next kernel.
  const int most = blocks_of<kDeep>(gpu);
  const int rounds = (tiles + most - 1) / most;
  LaunchShape shape{.blocks = static_cast<unsigned>((tiles + rounds - 1) / rounds),
                    .threads = kThreads,
                    .shared_bytes = bytes_of<kHalves, kDeep>(arguments.skinny.linear.in)};
  if (heads.heads > 0) kernel = linear_one_row<kType, kHalves, OneRowEnd::tiles_of_heads, kDeep>;
  if constexpr (kHalves == 2 && !kDeep) {
    if (heads.heads > 0 && heads.q_norm.data != nullptr) {
      kernel = linear_one_row<kType, kHalves, OneRowEnd::whole_heads, kDeep>;
      shape.cluster = static_cast<unsigned>(arguments.head_blocks);
      shape.blocks = static_cast<unsigned>(heads.heads + 2 * heads.kv_heads) * shape.cluster;
    }
  }
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         bytes_of<kHalves, kDeep>(kMostValues)));
  launch_overlapped<OneRowArguments>(gpu, kernel, shape, arguments);
}

/// Whether so many blocks can multiply each head that has a norm.
bool has_head_blocks(const Gpu& gpu, const LinearHeads& heads, int blocks) {
  return gpu.compute_capability >= 90 && heads.head_dim % (16 * blocks) == 0 &&
         heads.head_dim <= kMostOfHead &&
         (heads.heads + 2 * heads.kv_heads) * blocks <= kBlocks * gpu.multiprocessors;
}

template <DType kType>
void run(const Gpu& gpu, OneRowArguments& arguments, OneRowForm form) {
  arguments.head_blocks = form == OneRowForm::heads_by_8 ? kMoreHeadBlocks : kFewHeadBlocks;
  const bool is_small = form == OneRowForm::two_blocks_8 || form == OneRowForm::one_deep_8;
  const bool gated = arguments.skinny.linear.epilogue.gated;
  if (count_tiles(arguments.skinny, is_small || gated ? 8 : 16) == 0) return;
  switch (form) {
    case OneRowForm::two_blocks_8:
      return launch<kType, 1, false>(gpu, arguments);
    case OneRowForm::two_blocks_16:
    case OneRowForm::heads_by_4:
    case OneRowForm::heads_by_8:
      return launch<kType, 2, false>(gpu, arguments);
    case OneRowForm::one_deep_8:
      return launch<kType, 1, true>(gpu, arguments);
    case OneRowForm::one_deep_16:
      return launch<kType, 2, true>(gpu, arguments);
  }
}

/// What the kernel has beside its dynamic shared memory, and CUDA takes.
constexpr int kOwnBytes = 6 << 10;

}  // namespace

bool has_linear_one_row(const Gpu& gpu, int64_t in) {
  const int bytes = in >= kLong ? bytes_of<2, true>(in) : bytes_of<2, false>(in);
  return in <= kMostValues && bytes + kOwnBytes <= gpu.shared_bytes_per_block;
}

std::vector<OneRowForm> one_row_forms(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads) {
  std::vector<OneRowForm> forms;
  if (heads.q_norm.data != nullptr) {
    forms.push_back(OneRowForm::heads_by_4);
    if (has_head_blocks(gpu, heads, kMoreHeadBlocks)) forms.push_back(OneRowForm::heads_by_8);
    return forms;
  }
  const int room = gpu.shared_bytes_per_block - kOwnBytes;
  const bool gated = linear.epilogue.gated;
  if (kBlocks * (bytes_of<2, false>(linear.in) + kOwnBytes) <= gpu.shared_bytes_per_block) {
    if (!gated) forms.push_back(OneRowForm::two_blocks_8);
    forms.push_back(OneRowForm::two_blocks_16);
  }
  if (bytes_of<2, true>(linear.in) <= room) {
    if (!gated) forms.push_back(OneRowForm::one_deep_8);
    forms.push_back(OneRowForm::one_deep_16);
  }
  return forms;
}

OneRowForm one_row_rule(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads) {
  if (heads.q_norm.data != nullptr) return OneRowForm::heads_by_4;
  const bool is_deep = linear.in >= kLong;
  // Tiles of sixteen were the faster ones also where they left half of the multiprocessors without any.
  SkinnyArguments arguments{.linear = linear};
  const bool is_small = !linear.epilogue.gated && count_tiles(arguments, 16) * 3 < gpu.multiprocessors;
  if (is_deep) return is_small ? OneRowForm::one_deep_8 : OneRowForm::one_deep_16;
  return is_small ? OneRowForm::two_blocks_8 : OneRowForm::two_blocks_16;
}

bool prepares_one_row(const Gpu& gpu, int64_t in) {
  return has_linear_one_row(gpu, in) && in <= kMostPrepared && in % 4 == 0;
}

bool places_heads_of_one_row(const Gpu& gpu, const LinearHeads& heads) {
  if (heads.heads == 0) return false;
  if (heads.q_norm.data != nullptr) return has_head_blocks(gpu, heads, kFewHeadBlocks);
  return rotates_whole_heads(heads) && heads.head_dim % 16 == 0;
}

void run_linear_one_row(const Gpu& gpu, const SkinnyLinear& linear, const RowPreparation& row,
                        const LinearHeads& heads, const LogitsWatch& watch, OneRowForm form) {
  OneRowArguments arguments{.skinny = {.linear = linear, .pitch = prepared_pitch(linear.in)},
                            .row = row,
                            .heads = heads,
                            .watch = watch};
  if (linear.dtype == DType::bf16) {
    run<DType::bf16>(gpu, arguments, form);
  } else {
    run<DType::f16>(gpu, arguments, form);
  }
}

}  // namespace ingot::cuda
