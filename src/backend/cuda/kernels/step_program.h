// A decode step as one persistent kernel: instructions that all multiprocessors run one after another.
//
// Launch by launch, a step of one row spends a third to two thirds of its time between its kernels: rings of
// weights start empty, the last tiles finish alone. Here the stream of weights never stops. Each
// multiprocessor has one block; its warps copy the weights of the next tiles, and of the next instructions,
// into a ring in shared memory while they wait at the barrier that ends an instruction, since nobody writes
// weights.
//
// An instruction computes exactly what the kernels of its op compute: same order of sums, same bits.
#pragma once

#include <cstddef>

#include "backend/cuda/kernels/activation_rows.h"
#include "backend/cuda/kernels/attention.h"
#include "backend/cuda/kernels/linear_epilogue.h"
#include "backend/cuda/kernels/linear_heads.h"

namespace ingot::cuda {

enum class StepKind : int32_t {
  linear,  // products of prepared rows, and what follows them
  heads,   // LinearHeads
  attend,  // StepAttention
};

/// One linear of an instruction, or the two of a gated pair.
struct StepPart {
  const void* weight = nullptr;  // [outputs, in]
  const void* up = nullptr;      // the second factor's, of gated ones
  FloatRow bias = {};
  FloatRow up_bias = {};
  float* out = nullptr;  // [rows, outputs]
  const void* weight_map =
      nullptr;  // a CUtensorMap of the weight in boxes of box_values; null: rows are copied
  const void* up_map = nullptr;
  int32_t outputs = 0;
  int32_t first_tile = 0;
};

inline constexpr int kMostStepParts = 3;
inline constexpr int kMostStepRows = 8;

/// Linears of 1 to kMostStepRows rows with 16-bit weights of one type.
struct StepLinear {
  StepPart parts[kMostStepParts] = {};
  int32_t part_count = 0;
  int32_t tiles = 0;
  int32_t halves = 2;  // of a tile, 8 weight rows each: 1 or 2; of gated ones 2, a half of each factor
  int32_t rows = 0;
  int32_t in = 0;          // a multiple of 32
  int32_t box_values = 0;  // of k and 8 rows, that the copy engine brings at a time; 0: there are no maps
  DType dtype = DType::bf16;
  LinearEpilogue epilogue = {};

  const float* x = nullptr;  // [rows, in]
  LinearNorm norm = LinearNorm::none;
  float eps = 0;
  FloatRow norm_weight = {};
  FloatRow norm_bias = {};
};

struct StepAttention {
  PagedAttention attention;
  SplitSums sums;
  LinearHeads heads;  // not placed yet; q, k and v are not in memory that attention writes
  bool has_heads = false;
};

/// Heads that a program's attention is made for; all of a program have the same.
struct StepHeads {
  int head_dim = 0;  // 0: no attention
  int at_once = 0;   // query heads of a key head
};
/// Of heads like these; no head_dim where programs cannot have them.
StepHeads step_heads(const PagedAttention& attention);

struct alignas(16) StepInstruction {
  static constexpr size_t kBytes = 512;
  StepKind kind = StepKind::linear;
  alignas(16) unsigned char operands[kBytes - 16] = {};  // of what `kind` says

  template <class T>
  __host__ __device__ T& as() {
    static_assert(sizeof(T) <= sizeof(operands));
    return *reinterpret_cast<T*>(operands);
  }
  template <class T>
  __host__ __device__ const T& as() const {
    static_assert(sizeof(T) <= sizeof(operands));
    return *reinterpret_cast<const T*>(operands);
  }
};
static_assert(sizeof(StepInstruction) == StepInstruction::kBytes);

inline constexpr int kMostStepItems = 1024;  // rows, by key heads, by parts of their groups of query heads

/// What a program's blocks share in memory.
struct StepShared {
  uint32_t arrived = 0;  // at the barrier; 0 before and after
  uint32_t unused[63] = {};
  uint32_t pieces[kMostStepItems] = {};  // of attention, that are done; likewise
};

struct StepProgram {
  const StepInstruction* instructions = nullptr;  // on the device
  int count = 0;
  StepShared* shared = nullptr;
  uint64_t* finished = nullptr;  // [count + 1]: when the program began and each instruction ended, in ns
  int row_bytes = 0;             // of shared memory for prepared rows: the most that an instruction needs
  StepHeads heads = {};
};

/// Bytes of shared memory that prepared rows take: what row_bytes is the largest of.
int step_row_bytes(int64_t rows, int64_t in);
/// Whether the device runs programs, and has room for such rows.
bool has_step_program(const Gpu& gpu, int row_bytes);
/// Values of k of a box that fit slices of `in`; 0: none do.
int step_box_values(int64_t in);
/// Cuts the parts of a linear into tiles.
void cut_step_tiles(const Gpu& gpu, StepLinear& linear);
/// To be launched where nothing else keeps multiprocessors busy for good: waits until all blocks have room.
void run_step_program(const Gpu& gpu, const StepProgram& program);

}  // namespace ingot::cuda
