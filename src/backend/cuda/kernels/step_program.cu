#include "backend/cuda/kernels/linear_heads.cuh"
#include "backend/cuda/kernels/step_attention.cuh"
#include "backend/cuda/kernels/step_linear.cuh"

namespace ingot::cuda {
namespace {

constexpr int kWarps = kProductWarps + kFinishers;
constexpr int kFixedBytes = 4 << 10;  // static shared memory, and what CUDA takes
constexpr int kFewestSlots = 1;

/// Dynamic shared memory: partial sums, then prepared rows (attention takes both as scratch), kept
/// instructions, and the rings.
struct Layout {
  int rows_at;
  int kept_at;
  int rings_at;
  int slots;
  int bytes;
};
constexpr Layout layout_of(int row_bytes, int attention_bytes, int shared_bytes) {
  Layout layout{};
  layout.rows_at = kFinishers * kSetBytes;
  int scratch = layout.rows_at + row_bytes;
  if (scratch < attention_bytes) scratch = attention_bytes;
  layout.kept_at = (scratch + 127) / 128 * 128;
  layout.rings_at = layout.kept_at + kKeptInstructions * static_cast<int>(StepInstruction::kBytes);
  const int room = shared_bytes - kFixedBytes - layout.rings_at;
  layout.slots = room / (kProductWarps * kSlotBytes);
  if (layout.slots > kMostSlots) layout.slots = kMostSlots;
  layout.bytes = layout.rings_at + layout.slots * kProductWarps * kSlotBytes;
  return layout;
}

/// Attention's heads that a program has none of.
struct NoHeads {};
template <class S>
constexpr int kAttentionBytes = kStepTeams * static_cast<int>(sizeof(StepTeam<S>));
template <>
constexpr int kAttentionBytes<NoHeads> = 0;
constexpr int kMostAttentionBytes = 48 << 10;

/// Copies an instruction into shared memory, by a warp, and has the copy engine fetch its maps.
__device__ void keep_instruction(const StepProgram& program, int number, StepInstruction* kept) {
  if (number >= program.count) return;
  const auto* from = reinterpret_cast<const uint4*>(program.instructions + number);
  auto* to = reinterpret_cast<uint4*>(kept + number % kKeptInstructions);
  static_assert(StepInstruction::kBytes == kWarp * sizeof(uint4));
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  to[lane] = from[lane];
  __syncwarp();
  const StepInstruction& instruction = kept[number % kKeptInstructions];
  if (instruction.kind != StepKind::linear || lane >= 2 * kMostStepParts) return;
  const StepPart& part = instruction.as<StepLinear>().parts[lane / 2];
  const void* map = lane % 2 == 0 ? part.weight_map : part.up_map;
#if __CUDA_ARCH__ >= 900
  if (map != nullptr) asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
#endif
}

template <class Heads>
__global__ void __launch_bounds__(kStepThreads, 1)
    run_program(const __grid_constant__ StepProgram program, const __grid_constant__ Layout layout) {
  extern __shared__ __align__(128) uint4 shared[];  // as boxes want it
  __shared__ RowPartials partials;
  __shared__ float row_scales[kMostStepRows];
  __shared__ KeptWalk walks[kStepTeams];
  __shared__ uint64_t copies[kProductWarps][kMostSlots];
  char* const dynamic = reinterpret_cast<char*>(shared);
  auto* const sets = reinterpret_cast<float*>(dynamic);
  const StepRows rows{.values = dynamic + layout.rows_at, .scales = row_scales};
  auto* const kept = reinterpret_cast<StepInstruction*>(dynamic + layout.kept_at);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool multiplies = warp < kProductWarps;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;

  if (warp < kKeptInstructions - 1) keep_instruction(program, warp, kept);
  if (threadIdx.x < kProductWarps * kMostSlots)
    make_copy_barrier(shared_address(&copies[0][0] + threadIdx.x));
  if (threadIdx.x < kStepTeams) walks[threadIdx.x].seq_start = nullptr;
  if (blockIdx.x == 0 && threadIdx.x == 0) program.finished[0] = nanoseconds();
  __syncthreads();
  char* const ring = dynamic + layout.rings_at + (multiplies ? warp : 0) * layout.slots * kSlotBytes;
  WeightStream stream(ring, copies[multiplies ? warp : 0], layout.slots, kept, program.count, warp);
  TileTurn turn;
#pragma unroll 1
  for (int number = 0; number < program.count; ++number) {
    const StepInstruction& instruction = kept[number % kKeptInstructions];
    if (multiplies) {
      // What is kept since before the latest barrier.
      stream.set_end(number + kKeptInstructions - 2);
      stream.fill();
      if (instruction.kind == StepKind::linear) fetch_norm(instruction.as<StepLinear>());
    }
    if (number > 0) {
      if (warp == kProductWarps && lane == 0) {
        wait_for_blocks(&program.shared->arrived,
                        static_cast<uint32_t>(number) * static_cast<uint32_t>(kFinishers) * gridDim.x);
        if (blockIdx.x == 0) program.finished[number] = nanoseconds();
      }
      __syncthreads();
    }
    // The place of the instruction before.
    if (warp == kWarps - 1) keep_instruction(program, number + kKeptInstructions - 1, kept);
    bool have_written = true;  // warps beside the finishers
    switch (instruction.kind) {
      case StepKind::linear: {
        const auto& linear = instruction.as<StepLinear>();
        have_written = false;
        if (!multiplies) {
          if constexpr (!std::is_same_v<Heads, NoHeads>) {
            const StepInstruction& next = kept[(number + 1) % kKeptInstructions];
            if (number + 1 < program.count && next.kind == StepKind::attend)
              fetch_piece<Heads>(next.as<StepAttention>(), walks[warp - kProductWarps]);
          }
          finish_tiles(linear, row_scales, sets, warp - kProductWarps, turn);
          break;
        }
        prepare_step_rows(linear, rows, partials);
        multiply_tiles(linear, stream, rows.values, sets, warp, turn);
        break;
      }
      case StepKind::heads: {
        const auto& heads = instruction.as<LinearHeads>();
        const int64_t items = head_items(heads);
        for (int64_t item = static_cast<int64_t>(warp) * gridDim.x + blockIdx.x; item < items;
             item += static_cast<int64_t>(kWarps) * gridDim.x)
          place_one_item(heads, item);
        break;
      }
      case StepKind::attend:
        if constexpr (!std::is_same_v<Heads, NoHeads>) {
          static_assert(kStepTeams == kFinishers && kProductWarps == kStepTeams * kTeamWarps);
          const int team = multiplies ? warp / kTeamWarps : warp - kProductWarps;
          attend_step<Heads>(instruction.as<StepAttention>(), dynamic, walks, program.shared->pieces, team,
                             multiplies ? static_cast<int>(threadIdx.x) % kTeam : kTeam + lane);
          if (multiplies) stream.resume();
        }
        break;
    }
    if (have_written) __syncthreads();
    // The finishers speak for the block, each for what it wrote itself or what all wrote before the barrier.
    if (!multiplies) {
      __syncwarp();
      if (lane == 0) arrive_of_block(&program.shared->arrived);
    }
  }
  if (threadIdx.x != kProductWarps * kWarp) return;
  // The first block leaves the count as it was found: nobody waits for it any more.
  if (blockIdx.x != 0) return;
  wait_for_blocks(&program.shared->arrived,
                  static_cast<uint32_t>(program.count) * static_cast<uint32_t>(kFinishers) * gridDim.x);
  program.finished[program.count] = nanoseconds();
  program.shared->arrived = 0;
}

}  // namespace

int step_row_bytes(int64_t rows, int64_t in) {
  return in > kMostStepWidth ? INT32_MAX / 2 : static_cast<int>(rows) * step_row_stride(in);
}

bool has_step_program(const Gpu& gpu, int row_bytes) {
  return gpu.compute_capability >= 90 && row_bytes < gpu.shared_bytes_per_block &&
         layout_of(row_bytes, kMostAttentionBytes, gpu.shared_bytes_per_block).slots >= kFewestSlots;
}

StepHeads step_heads(const PagedAttention& a) {
  const int group = a.heads / a.kv_heads;
  const int at_once = group <= 1 ? 1 : group <= 2 ? 2 : group <= 4 ? 4 : 8;
  const bool is_known = a.head_dim == 64 || a.head_dim == 128;
  const int items = a.rows * a.kv_heads * static_cast<int>(divide_up(group, at_once));
  return {.head_dim = is_known && items <= kMostStepItems ? a.head_dim : 0, .at_once = at_once};
}

int step_box_values(int64_t in) {
  const int64_t steps = divide_up(in, kStep);
  if (in % kStep != 0 || steps % kSlices != 0) return 0;
  // Neither a box nor a slot reaches into the next warp's slices.
  const auto of_warp = static_cast<int>(steps / kSlices * kWarpSlices);
  int box = of_warp < kSlotValues / kStep ? of_warp : kSlotValues / kStep;
  while (of_warp % box != 0) --box;
  return box * kStep;
}

void cut_step_tiles(const Gpu& gpu, StepLinear& linear) {
  const auto cut = [&](int outputs) {
    int tiles = 0;
    for (int i = 0; i < linear.part_count; ++i) {
      linear.parts[i].first_tile = tiles;
      tiles += static_cast<int>(divide_up(linear.parts[i].outputs, outputs));
    }
    return tiles;
  };
  const auto busiest = [&](int outputs) { return divide_up(cut(outputs), gpu.multiprocessors) * outputs; };
  const bool is_small = linear.epilogue.gated || busiest(kPieceRows) < busiest(2 * kPieceRows);
  linear.halves = linear.epilogue.gated || !is_small ? 2 : 1;
  linear.tiles = cut(is_small ? kPieceRows : 2 * kPieceRows);
}

namespace {

template <class Heads>
void launch(const Gpu& gpu, const StepProgram& program) {
  static_assert(kAttentionBytes<Heads> <= kMostAttentionBytes);
  const Layout layout = layout_of(program.row_bytes, kAttentionBytes<Heads>, gpu.shared_bytes_per_block);
  const auto kernel = run_program<Heads>;
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, layout.bytes));
  // Blocks wait for one another: all of them run, or none.
  cudaLaunchAttribute cooperative = {};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(gpu.multiprocessors));
  config.blockDim = dim3(kStepThreads);
  config.dynamicSmemBytes = static_cast<size_t>(layout.bytes);
  config.stream = gpu.stream;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, program, layout));
}

template <class One, class Two, class Four, class Eight>
void launch_with(const Gpu& gpu, const StepProgram& program) {
  switch (program.heads.at_once) {
    case 1:
      return launch<One>(gpu, program);
    case 2:
      return launch<Two>(gpu, program);
    case 4:
      return launch<Four>(gpu, program);
    default:
      return launch<Eight>(gpu, program);
  }
}

}  // namespace

void run_step_program(const Gpu& gpu, const StepProgram& program) {
  if (program.count == 0) return;
  switch (program.heads.head_dim) {
    case 64:
      return launch_with<PieceOf<64, 1>, PieceOf<64, 2>, PieceOf<64, 4>, PieceOf<64, 8>>(gpu, program);
    case 128:
      return launch_with<PieceOf<128, 1>, PieceOf<128, 2>, PieceOf<128, 4>, PieceOf<128, 8>>(gpu, program);
    default:
      return launch<NoHeads>(gpu, program);
  }
}

}  // namespace ingot::cuda
