// Launches of one row's kernel (linear_one_row_kernel.cuh), and the forms that it has.
#include "backend/cuda/kernels/linear_one_row.h"

#include "backend/cuda/kernels/linear_one_row_kernel.cuh"

namespace ingot::cuda {
namespace {

template <bool kDeep>
int blocks_of(const Gpu& gpu) {
  return (kDeep ? 1 : kOneRowBlocks) * gpu.multiprocessors;
}

template <int kHalves, bool kDeep>
int bytes_of(int64_t in) {
  return OneRowShape<kHalves, kDeep>::kFixedBytes + static_cast<int>(prepared_pitch(in)) * 2;
}

template <DType kType, int kHalves, bool kDeep, LinearEnd kEnd>
auto kernel_for(Placing placing) {
  if constexpr (kEnd != LinearEnd::gated_silu) {
    if (placing == Placing::watched_outputs)
      return linear_one_row<kType, kHalves, Placing::watched_outputs, kDeep, kEnd>;
    if (placing == Placing::tiles_of_heads)
      return linear_one_row<kType, kHalves, Placing::tiles_of_heads, kDeep, kEnd>;
    if constexpr (kHalves == 2 && !kDeep) {
      if (placing == Placing::whole_heads)
        return linear_one_row<kType, kHalves, Placing::whole_heads, kDeep, kEnd>;
    }
  }
  return linear_one_row<kType, kHalves, Placing::outputs, kDeep, kEnd>;
}

Placing placing_of(const OneRowArguments& arguments) {
  if (arguments.watch.bests != nullptr) return Placing::watched_outputs;
  if (arguments.heads.heads == 0) return Placing::outputs;
  return arguments.heads.q_norm.data == nullptr ? Placing::tiles_of_heads : Placing::whole_heads;
}

/// usual_end(), where the row is as usual, too.
LinearEnd usual_end_of_row(const OneRowArguments& arguments) {
  const RowPreparation& row = arguments.row;
  const Placing placing = placing_of(arguments);
  const LinearEnd end = usual_end(arguments.skinny.linear, arguments.heads);
  const bool prepares = row.x != nullptr;
  if (prepares != usually_prepares(placing, end)) return LinearEnd::any;
  if (prepares && (row.norm != LinearNorm::rms || row.norm_weight.dtype != DType::bf16))
    return LinearEnd::any;
  if (placing == Placing::whole_heads && arguments.heads.head_dim != kUsualNormedHead) return LinearEnd::any;
  return end;
}

template <DType kType, int kHalves, bool kDeep>
void launch(const Gpu& gpu, const OneRowArguments& arguments) {
  const LinearHeads& heads = arguments.heads;
  const Placing placing = placing_of(arguments);
  auto kernel = kernel_for<kType, kHalves, kDeep, LinearEnd::any>(placing);
  if constexpr (kType == DType::bf16) {
    const LinearEnd end = usual_end_of_row(arguments);
    if (end == LinearEnd::plain) kernel = kernel_for<kType, kHalves, kDeep, LinearEnd::plain>(placing);
    // Tiles of a gated pair have rows of both.
    if constexpr (kHalves == 2) {
      if (end == LinearEnd::gated_silu)
        kernel = kernel_for<kType, kHalves, kDeep, LinearEnd::gated_silu>(placing);
    }
  }
  const int tiles = arguments.skinny.first_tile[arguments.skinny.linear.part_count];
  // Blocks with as many tiles each: what is left of a multiprocessor is for the next kernel.
  const int most = blocks_of<kDeep>(gpu);
  const int rounds = (tiles + most - 1) / most;
  LaunchShape shape{.blocks = static_cast<unsigned>((tiles + rounds - 1) / rounds),
                    .threads = kOneRowThreads,
                    .shared_bytes = bytes_of<kHalves, kDeep>(arguments.skinny.linear.in)};
  if (placing == Placing::whole_heads) {
    shape.cluster = static_cast<unsigned>(arguments.head_blocks);
    shape.blocks = static_cast<unsigned>(heads.heads + 2 * heads.kv_heads) * shape.cluster;
  }
  static_cast<void>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         bytes_of<kHalves, kDeep>(kMostRowValues)));
  launch_overlapped<OneRowArguments>(gpu, kernel, shape, arguments);
}

/// Whether so many blocks can multiply each head that has a norm.
bool has_head_blocks(const Gpu& gpu, const LinearHeads& heads, int blocks) {
  return gpu.compute_capability >= 90 && heads.head_dim % (16 * blocks) == 0 &&
         heads.head_dim <= kMostOfHead &&
         (heads.heads + 2 * heads.kv_heads) * blocks <= kOneRowBlocks * gpu.multiprocessors;
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
  const int bytes = in >= kLongRow ? bytes_of<2, true>(in) : bytes_of<2, false>(in);
  return in <= kMostRowValues && bytes + kOwnBytes <= gpu.shared_bytes_per_block;
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
  if (kOneRowBlocks * (bytes_of<2, false>(linear.in) + kOwnBytes) <= gpu.shared_bytes_per_block) {
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
  const bool is_deep = linear.in >= kLongRow;
  // Tiles of sixteen were the faster ones also where they left half of the multiprocessors without any.
  SkinnyArguments arguments{.linear = linear};
  const bool is_small = !linear.epilogue.gated && count_tiles(arguments, 16) * 3 < gpu.multiprocessors;
  if (is_deep) return is_small ? OneRowForm::one_deep_8 : OneRowForm::one_deep_16;
  return is_small ? OneRowForm::two_blocks_8 : OneRowForm::two_blocks_16;
}

bool prepares_one_row(const Gpu& gpu, int64_t in) {
  return has_linear_one_row(gpu, in) && in <= kMostPreparedValues && in % 4 == 0;
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
