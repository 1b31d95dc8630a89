// Two to four rows: a block of 16 warps computes tiles of a few outputs; each warp has its run of K, the same
// in every tile. All rows lie in shared memory, and each is a column of the matrix instructions. Weights come
// through a ring of shared memory that belongs to the warp and reaches across tiles.
//
// Of queries, keys and values the kernel also rotates the heads and writes keys and values to the cache. It
// does not prepare rows as that of one row does: every block would read and reduce all of them, which takes
// longer than a kernel ahead that does so once.
#include "backend/cuda/kernels/linear_few_rows.h"

#include "backend/cuda/kernels/linear_overlap.cuh"
#include "backend/cuda/kernels/linear_tile_heads.cuh"
#include "backend/cuda/kernels/linear_tiles.cuh"
#include "backend/cuda/kernels/linear_weight_reader.cuh"

namespace ingot::cuda {
namespace {

constexpr int kThreads = kSlices * kWarp;
constexpr int kMostRows = 4;
constexpr int64_t kMostValues = 64 << 10;  // of a row
constexpr int kDeep = 9;                   // rings, in pieces of 16 rows
constexpr int kShallow = 6;                // where rows are long
constexpr int kOwnBytes = 2 << 10;         // what CUDA takes

struct FewRowsArguments {
  SkinnyArguments skinny;
  LinearHeads heads;  // of kernels that place them
  int stride = 0;     // bytes from a row to the next in shared memory
};

/// Of kRows rows at most, kHalves times 8 rows of weights and a ring of kDepth times 16 rows of weights.
template <int kRows, int kHalves, int kDepth>
struct Shape {
  static constexpr int kStages = kDepth * 2 / kHalves;
  static constexpr int kStageBytes = kHalves * kPieceBytes;  // of a warp
  static constexpr int kRingBytes = kSlices * kStages * kStageBytes;
  static constexpr int kPartials = kHalves * kPieceRows * kRows;  // of a warp
  static constexpr int kFixedBytes = kRingBytes + 2 * kSlices * kPartials * 4;
};

/// Bytes from a row to the next: eight of them at one k are in all banks.
constexpr int stride_of(int64_t in) {
  return static_cast<int>(prepared_pitch(in)) * 2 + 16;
}

/// Writes this warp's run of the rows, which the kernel ahead has prepared, to shared memory.
template <int kRows>
__device__ __forceinline__ void copy_slices(const FewRowsArguments& a, const Slice& slice, char* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const SkinnyLinear& linear = a.skinny.linear;
  const int last = static_cast<int>(linear.rows) - 1;
  for (int i = lane; i < slice.steps * 4; i += kWarp) {
    const int at = (slice.begin * 4 + i) * 16;
    uint4 four[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      four[r] = *reinterpret_cast<const uint4*>(static_cast<const char*>(linear.x) +
                                                min(r, last) * a.skinny.pitch * 2 + at);
#pragma unroll
    for (int r = 0; r < kRows; ++r) *reinterpret_cast<uint4*>(to + r * a.stride + at) = four[r];
  }
  __syncwarp();
}

/// kEnd: any, or usual_end().
template <DType kType, int kRows, int kHalves, int kDepth, bool kPlaces, LinearEnd kEnd>
__global__ void __launch_bounds__(kThreads, 1) linear_few_rows(const __grid_constant__ FewRowsArguments a) {
  using S = Shape<kRows, kHalves, kDepth>;
  constexpr int kStages = S::kStages;
  extern __shared__ uint4 shared[];
  const SkinnyArguments& skinny = a.skinny;
  const SkinnyLinear& linear = skinny.linear;
  constexpr bool kIsUsual = kEnd != LinearEnd::any;
  constexpr TileOrder kOrder = kPlaces ? TileOrder::heads : kIsUsual ? TileOrder::one_part : TileOrder::parts;
  const bool gated = is_gated<kEnd>(linear.epilogue);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const Slice slice = slice_of(linear.in, warp);
  const int tile_outputs = (!kPlaces && gated ? kHalves / 2 : kHalves) * kPieceRows;
  const int first_tile = static_cast<int>(blockIdx.x);
  const int tiles = skinny.first_tile[linear.part_count];
  const int stride = static_cast<int>(gridDim.x);

  char* const dynamic = reinterpret_cast<char*>(shared);
  const uint32_t ring = shared_address(dynamic + warp * kStages * S::kStageBytes);
  const uint32_t copied = ring + copied_place(lane);
  const uint32_t loaded = ring + loaded_place(lane);
  auto* const partials = reinterpret_cast<float*>(dynamic + S::kRingBytes);
  char* const rows = dynamic + S::kFixedBytes;
  // Nobody writes weights: the first are on their way before the inputs are there.
  WeightReader<kHalves, kOrder, kEnd> weights(skinny, a.heads, slice,
                                              {tile_outputs, first_tile, tiles, stride}, copied);
  begin_next_kernel();
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) weights.read(stage);
  wait_for_inputs();
  copy_slices<kRows>(a, slice, rows);

  // Rows beyond the last are the last of kRows: nobody reads what they give.
  const uint32_t inputs = shared_address(rows) + static_cast<uint32_t>(min(lane % 8, kRows - 1) * a.stride) +
                          static_cast<uint32_t>(slice.begin * 64 + lane / 8 * 16);
  int stage = 0;
  int turn = 0;
  for (int tile_number = first_tile; tile_number < tiles; tile_number += stride, turn ^= 1) {
    float sums[4] = {};
#pragma unroll 2
    for (int step = 0; step < slice.steps; ++step) {
      wait_for_copies<kStages - 2>();
      __syncwarp();  // the copies of all lanes are there; the stage before is read
      weights.read(stage == 0 ? kStages - 1 : stage - 1);
      const uint32_t from = loaded + static_cast<uint32_t>(stage * S::kStageBytes);
      multiply_pieces<kType>(sums, load_pieces<kHalves>(inputs + static_cast<uint32_t>(step * 64), from));
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }

    // Two sets of partial sums in turn: nobody writes one before everybody has passed the barrier after those
    // who read it. Weight row by weight row, the rows' sums.
    float* set = partials + turn * (kSlices * S::kPartials);
    if (lane % 4 * 2 < kRows) {
      float* own = set + warp * S::kPartials + lane / 4 * kRows + lane % 4 * 2;
      *reinterpret_cast<float2*>(own) = {sums[0], sums[1]};
      if constexpr (kHalves == 2) *reinterpret_cast<float2*>(own + kPieceRows * kRows) = {sums[2], sums[3]};
    }
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= max(kRows * tile_outputs, kWarp)) continue;
    const int output = static_cast<int>(threadIdx.x) % tile_outputs;
    const int row = static_cast<int>(threadIdx.x) / tile_outputs;
    const float row_scale =
        kIsUsual || linear.row_scales == nullptr || row >= linear.rows ? 1.0F : linear.row_scales[row];
    const auto total = [&](int half) {
      return sum_of_slices(set + (output + half * kPieceRows) * kRows + min(row, kRows - 1), S::kPartials);
    };
    if constexpr (kPlaces) {
      const TileOfHead head = tile_of_head<kEnd>(skinny, a.heads, tile_number, tile_outputs);
      const int n = head.first + head.value(output, tile_outputs, a.heads.pairs);
      const float y = kIsUsual ? total(0) : biased(total(0), row_scale, linear.parts[head.part].bias, n);
      place_output(a.heads, head, output, tile_outputs, y, row);
    } else {
      const Tile tile = tile_in_order<kOrder>(skinny, tile_number, tile_outputs);
      if (row >= linear.rows || tile.first_output + output >= linear.parts[tile.part].outputs) continue;
      if constexpr (kIsUsual) {
        const float* const residual = kEnd == LinearEnd::plain ? linear.epilogue.residual : nullptr;
        const int64_t at = row * int64_t{linear.parts[0].outputs} + tile.first_output + output;
        write_usual_output<kEnd>(skinny, tile, output, row, total(0), gated ? total(1) : 0,
                                 residual == nullptr ? 0 : residual[at]);
      } else {
        write_output(skinny, tile, output, row, row_scale, total(0), gated ? total(1) : 0);
      }
    }
  }
}

template <int kRows, int kHalves, int kDepth>
int bytes_of(int64_t in) {
  return Shape<kRows, kHalves, kDepth>::kFixedBytes + kRows * stride_of(in);
}

template <DType kType, int kRows, int kHalves, int kDepth, LinearEnd kEnd>
auto kernel_for(const FewRowsArguments& arguments) {
  if constexpr (kEnd != LinearEnd::gated_silu) {
    if (arguments.heads.heads > 0) return linear_few_rows<kType, kRows, kHalves, kDepth, true, kEnd>;
  }
  return linear_few_rows<kType, kRows, kHalves, kDepth, false, kEnd>;
}

template <DType kType, int kRows, int kHalves, int kDepth>
void launch(const Gpu& gpu, const FewRowsArguments& arguments) {
  auto kernel = kernel_for<kType, kRows, kHalves, kDepth, LinearEnd::any>(arguments);
  if constexpr (kType == DType::bf16) {
    const LinearEnd end = usual_end(arguments.skinny.linear, arguments.heads);
    if (end == LinearEnd::plain)
      kernel = kernel_for<kType, kRows, kHalves, kDepth, LinearEnd::plain>(arguments);
    if constexpr (kHalves == 2) {
      if (end == LinearEnd::gated_silu)
        kernel = kernel_for<kType, kRows, kHalves, kDepth, LinearEnd::gated_silu>(arguments);
    }
  }
  const int blocks = gpu.multiprocessors;
  const int tiles = arguments.skinny.first_tile[arguments.skinny.linear.part_count];
  const int bytes = bytes_of<kRows, kHalves, kDepth>(arguments.skinny.linear.in);
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         gpu.shared_bytes_per_block - kOwnBytes));
  launch_overlapped<FewRowsArguments>(gpu, kernel,
                                      {.blocks = static_cast<unsigned>(tiles < blocks ? tiles : blocks),
                                       .threads = kThreads,
                                       .shared_bytes = bytes},
                                      arguments);
}

/// With tiles of 8 or 16 outputs, whichever spread more evenly.
template <DType kType, int kRows, int kDepth>
void run_depth(const Gpu& gpu, FewRowsArguments& arguments) {
  const int blocks = gpu.multiprocessors;
  SkinnyArguments& skinny = arguments.skinny;
  const bool gated = skinny.linear.epilogue.gated;
  const auto busiest = [&](int outputs) { return divide_up(count_tiles(skinny, outputs), blocks) * outputs; };
  const bool is_small = !gated && busiest(8) < busiest(16);
  if (count_tiles(skinny, is_small || gated ? 8 : 16) == 0) return;
  if (is_small) return launch<kType, kRows, 1, kDepth>(gpu, arguments);
  launch<kType, kRows, 2, kDepth>(gpu, arguments);
}

bool fits(const Gpu& gpu, int bytes) {
  return bytes + kOwnBytes <= gpu.shared_bytes_per_block;
}

template <DType kType, int kRows>
void run_rows(const Gpu& gpu, FewRowsArguments& arguments) {
  if (fits(gpu, bytes_of<kRows, 2, kDeep>(arguments.skinny.linear.in)))
    return run_depth<kType, kRows, kDeep>(gpu, arguments);
  run_depth<kType, kRows, kShallow>(gpu, arguments);
}

template <DType kType>
void run(const Gpu& gpu, FewRowsArguments& arguments) {
  if (arguments.skinny.linear.rows <= 2) return run_rows<kType, 2>(gpu, arguments);
  run_rows<kType, 4>(gpu, arguments);
}

}  // namespace

bool has_linear_few_rows(const Gpu& gpu, int64_t rows, int64_t in) {
  if (rows < 2 || rows > kMostRows || in > kMostValues) return false;
  return fits(gpu, rows <= 2 ? bytes_of<2, 2, kShallow>(in) : bytes_of<4, 2, kShallow>(in));
}

bool places_heads_of_few_rows(const LinearHeads& heads) {
  return heads.heads > 0 && heads.q_norm.data == nullptr && rotates_whole_heads(heads) &&
         heads.head_dim % 16 == 0;
}

void run_linear_few_rows(const Gpu& gpu, const SkinnyLinear& linear, const LinearHeads& heads) {
  FewRowsArguments arguments{.skinny = {.linear = linear, .pitch = prepared_pitch(linear.in)},
                             .heads = heads,
                             .stride = stride_of(linear.in)};
  if (linear.dtype == DType::bf16) {
    run<DType::bf16>(gpu, arguments);
  } else {
    run<DType::f16>(gpu, arguments);
  }
}

}  // namespace ingot::cuda
