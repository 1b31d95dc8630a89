// Linears of generated tokens. 16-bit weights: one kernel with everything that follows. Other weights: their
// products into memory, then what follows.
#include <fmt/format.h>

#include <array>
#include <cstddef>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/free_order.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/block_row.h"
#include "backend/cuda/kernels/linear_batch_heads.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/linear_few_rows.h"
#include "backend/cuda/kernels/linear_job.h"
#include "backend/cuda/kernels/linear_one_row.h"
#include "backend/cuda/rounded_rows.h"

namespace ingot::cuda {
namespace {

using backend::Backend;
using backend::Launch;

/// Whether one launch does it all: every weight 16 bits of one type, in an order that the kernel reads.
bool is_one_launch(const LinearJob& job) {
  for (int i = 0; i < job.part_count; ++i) {
    const LinearPart& part = job.parts[static_cast<size_t>(i)];
    if (part.dtype != job.parts[0].dtype) return false;
    if (decode_product(part.dtype, part.is_in_out, job.rows.in) != LinearProduct::skinny) return false;
  }
  return true;
}

/// Whether all that one launch needs of the rows is that they are rounded to bf16.
bool takes_rounded_rows(const LinearJob& job) {
  return job.rows.norm == LinearNorm::none && job.parts[0].dtype == DType::bf16 &&
         prepared_pitch(job.rows.in) == job.rows.in;
}

/// The rows of a job in every form that its products take.
struct DecodeRows {
  DecodeRows(const LinearJob& job, Workspace& workspace) : prepared(job.rows) {
    bool wants_f32 = false;
    bool wants_bf16 = false;
    bool wants_f16 = false;
    bool wants_int8 = false;
    for (int i = 0; i < job.part_count; ++i) {
      const LinearPart& part = job.parts[static_cast<size_t>(i)];
      switch (decode_product(part.dtype, part.is_in_out, job.rows.in)) {
        case LinearProduct::skinny:
          (part.dtype == DType::bf16 ? wants_bf16 : wants_f16) = true;
          break;
        case LinearProduct::blocks:
          wants_int8 = true;
          break;
        default:
          wants_f32 = job.rows.norm != LinearNorm::none;
      }
    }
    RowPreparation& p = prepared;
    p.pitch = wants_bf16 || wants_f16 ? prepared_pitch(p.in) : 0;
    if (wants_bf16) p.bf16 = workspace.take<uint16_t>(p.rows * p.pitch);
    if (wants_f16) p.f16 = workspace.take<uint16_t>(p.rows * p.pitch);
    if (wants_f16) p.f16_scales = workspace.take<float>(p.rows);
    if (wants_f32) p.f32 = workspace.take<float>(p.rows * p.in);
    if (wants_int8) {
      p.int8 = workspace.take<int8_t>(p.rows * p.in);
      p.int8_scales = workspace.take<float>(p.rows * (p.in / 32));
      p.int8_sums = workspace.take<float>(p.rows * (p.in / 32));
    }
    is_needed = wants_f32 || wants_bf16 || wants_f16 || wants_int8;
  }
  const float* f32() const { return prepared.f32 == nullptr ? prepared.x : prepared.f32; }

  RowPreparation prepared;
  bool is_needed = false;
};

SkinnyLinear skinny_of(const DecodeRows& rows, DType dtype) {
  const RowPreparation& p = rows.prepared;
  SkinnyLinear linear;
  linear.dtype = dtype;
  linear.x = dtype == DType::bf16 ? p.bf16 : p.f16;
  linear.row_scales = dtype == DType::bf16 ? nullptr : p.f16_scales;
  linear.rows = p.rows;
  linear.in = p.in;
  return linear;
}

/// Outputs and all that follows the products of a launch that does it all.
SkinnyLinear whole_linear(CudaBackend& cuda, const LinearJob& job) {
  SkinnyLinear linear;
  linear.dtype = job.parts[0].dtype;
  linear.rows = job.rows.rows;
  linear.in = job.rows.in;
  linear.epilogue = job.epilogue;
  linear.part_count = job.output_count();
  // What is known of a launch's output is not known of its further results.
  const bool is_alone = linear.part_count == 1 && cuda.rounded_rows().is_alone();
  for (size_t i = 0; i < static_cast<size_t>(linear.part_count); ++i) {
    const LinearPart& part = job.parts[i];
    linear.parts[i] = {.weight = part.weight,
                       .bias = part.bias,
                       .out = part.output,
                       .outputs = static_cast<int32_t>(part.outputs)};
    // What heads become is not what the products leave.
    if (job.heads == nullptr)
      linear.parts[i].out_bf16 = cuda.rounded_rows().begin(part.output, job.rows.rows, part.outputs);
    linear.parts[i].is_out_read = linear.parts[i].out_bf16 == nullptr || !is_alone;
  }
  if (job.epilogue.gated) {
    linear.parts[0].up = job.parts[1].weight;
    linear.parts[0].up_bias = job.parts[1].bias;
  }
  return linear;
}

/// Whether a kernel may read its one row while it writes outputs: it does not write where the row lies.
bool is_row_apart(const LinearJob& job) {
  if (job.rows.rows != 1) return false;
  for (int i = 0; i < job.part_count; ++i) {
    if (job.parts[static_cast<size_t>(i)].output == job.rows.x) return false;
  }
  return true;
}

/// What tuning knows a linear by.
std::string shape_of(const SkinnyLinear& linear, bool has_heads) {
  int64_t outputs = 0;
  for (int i = 0; i < linear.part_count; ++i) outputs += linear.parts[i].outputs;
  return fmt::format("{} {} -> {}{}{}", ingot::to_string(linear.dtype), linear.in, outputs,
                     linear.epilogue.gated ? ", gated"
                     : has_heads           ? ", heads"
                                           : "",
                     linear.rows > 1 ? fmt::format(", {} rows", linear.rows) : "");
}

/// The form that one row's kernel runs in.
OneRowForm one_row_form(CudaBackend& cuda, const SkinnyLinear& linear, const LinearHeads& heads) {
  std::vector<LinearForms::Form> forms;
  for (OneRowForm form : one_row_forms(cuda.gpu(), linear, heads))
    forms.push_back({.id = static_cast<int>(form), .name = std::string(to_string(form))});
  const OneRowForm rule = one_row_rule(cuda.gpu(), linear, heads);
  return static_cast<OneRowForm>(
      cuda.linear_forms().choose(shape_of(linear, heads.heads > 0), forms, static_cast<int>(rule)));
}

/// The tile of many rows, one of these; 0: there are none.
int batch_tile(CudaBackend& cuda, const SkinnyLinear& linear, const std::vector<int>& tiles, bool has_heads) {
  std::vector<LinearForms::Form> forms;
  forms.reserve(tiles.size());
  for (int tile : tiles) forms.push_back({.id = tile, .name = batch_tile_name(tile)});
  if (forms.empty()) return 0;
  return cuda.linear_forms().choose(shape_of(linear, has_heads), forms, forms.front().id);
}

/// The products with all that follows, and where it returns true the heads.
bool run_one_launch(CudaBackend& cuda, const LinearJob& job, DecodeRows& rows) {
  const Gpu& gpu = cuda.gpu();
  const bool is_one_row = job.rows.rows == 1 && has_linear_one_row(gpu, job.rows.in);
  RowPreparation& p = rows.prepared;
  // The kernel ahead may have rounded the rows as it wrote them.
  uint16_t* const rounded =
      takes_rounded_rows(job) ? cuda.rounded_rows().find(job.rows.x, job.rows.rows, job.rows.in) : nullptr;
  const bool prepares =
      rounded == nullptr && is_one_row && is_row_apart(job) && prepares_one_row(gpu, job.rows.in);
  if (rounded != nullptr) {
    p.bf16 = rounded;
  } else if (!prepares) {
    run_row_preparation(gpu, p);
  }

  SkinnyLinear linear = whole_linear(cuda, job);
  linear.x = linear.dtype == DType::bf16 ? p.bf16 : p.f16;
  linear.row_scales = linear.dtype == DType::bf16 ? nullptr : p.f16_scales;
  if (!is_one_row) {
    if (job.heads != nullptr && has_linear_few_rows(gpu, p.rows, p.in) &&
        places_heads_of_few_rows(*job.heads)) {
      run_linear_few_rows(gpu, linear, *job.heads);
      return true;
    }
    if (job.heads != nullptr && places_heads_of_batch(linear, *job.heads)) {
      run_linear_batch_heads(gpu, linear, *job.heads,
                             batch_tile(cuda, linear, batch_head_tiles(gpu, linear), true));
      return true;
    }
    run_linear_skinny(gpu, linear, batch_tile(cuda, linear, batch_tiles(gpu, linear), false));
    return false;
  }
  const bool places = job.heads != nullptr && places_heads_of_one_row(gpu, *job.heads);
  const LinearPart& only = job.parts[0];
  const bool is_watchable = linear.part_count == 1 && !linear.epilogue.gated && job.heads == nullptr;
  const LinearHeads heads = places ? *job.heads : LinearHeads{};
  run_linear_one_row(gpu, linear, prepares ? p : RowPreparation{}, heads,
                     is_watchable ? cuda.watched_logits().begin(only.output, only.outputs) : LogitsWatch{},
                     one_row_form(cuda, linear, heads));
  return places;
}

/// Whether one row's products with blocks are done with all that precedes and follows them.
bool is_block_row(const Gpu& gpu, const LinearJob& job) {
  if (!is_row_apart(job)) return false;
  for (int i = 0; i < job.part_count; ++i) {
    const LinearPart& part = job.parts[static_cast<size_t>(i)];
    if (decode_product(part.dtype, part.is_in_out, job.rows.in) != LinearProduct::blocks ||
        !has_block_row(gpu, part.dtype, job.rows.in) ||
        (job.epilogue.gated && part.dtype != job.parts[0].dtype))
      return false;
  }
  return true;
}

/// A launch for each type of weights, and where it returns true the heads.
bool run_block_rows(CudaBackend& cuda, const LinearJob& job) {
  const SkinnyLinear all = whole_linear(cuda, job);
  const bool places = job.heads != nullptr && places_heads_of_block_row(*job.heads);
  const LinearHeads heads = places ? *job.heads : LinearHeads{};
  for (DType dtype : {DType::q8_0, DType::q4_0, DType::q4_k, DType::q6_k, DType::mxfp4}) {
    SkinnyLinear some = all;
    some.dtype = dtype;
    for (size_t i = 0; i < static_cast<size_t>(all.part_count); ++i) {
      if (job.parts[i].dtype != dtype) some.parts[i].outputs = 0;
    }
    run_block_row(cuda.gpu(), some, job.rows, heads);
  }
  return places;
}

/// The sums of one part.
void run_product(const Gpu& gpu, const DecodeRows& rows, const LinearPart& part, float* sums) {
  const RowPreparation& p = rows.prepared;
  switch (decode_product(part.dtype, part.is_in_out, p.in)) {
    case LinearProduct::skinny: {
      SkinnyLinear linear = skinny_of(rows, part.dtype);
      linear.part_count = 1;
      linear.parts[0] = {.weight = part.weight, .out = sums, .outputs = static_cast<int32_t>(part.outputs)};
      return run_linear_skinny(gpu, linear);
    }
    case LinearProduct::blocks:
      return run_block_product(gpu, {.x = {.values = p.int8, .scales = p.int8_scales, .sums = p.int8_sums},
                                     .weight = part.weight,
                                     .dtype = part.dtype,
                                     .rows = p.rows,
                                     .in = p.in,
                                     .out = part.outputs,
                                     .sums = sums,
                                     .stride = part.outputs});
    default:
      return run_plain_product(gpu, {.x = rows.f32(),
                                     .weight = part.weight,
                                     .dtype = part.dtype,
                                     .is_in_out = part.is_in_out,
                                     .rows = p.rows,
                                     .in = p.in,
                                     .out = part.outputs,
                                     .sums = sums,
                                     .stride = part.outputs});
  }
}

/// Everything by a kernel of its own: rows, each product, what follows each. `sums`: where products wait.
void run_apart(const Gpu& gpu, const LinearJob& job, const DecodeRows& rows,
               const std::array<float*, kMostLinearParts>& sums) {
  if (rows.is_needed) run_row_preparation(gpu, rows.prepared);
  for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
    if (job.parts[i].outputs > 0) run_product(gpu, rows, job.parts[i], sums[i]);
  }
  for (size_t i = 0; i < static_cast<size_t>(job.output_count()); ++i) {
    const LinearPart& part = job.parts[i];
    if (!job.has_epilogue(part) && !job.has_residual) continue;
    LinearSums finish{.sums = sums[i],
                      .bias = part.bias,
                      .epilogue = job.epilogue,
                      .rows = job.rows.rows,
                      .out = part.outputs,
                      .stride = part.outputs,
                      .output = part.output};
    if (job.epilogue.gated) {
      finish.up_sums = sums[1];
      finish.up_bias = job.parts[1].bias;
      finish.up_stride = job.parts[1].outputs;
    }
    run_linear_epilogue(gpu, finish);
  }
}

}  // namespace

void run_decode_job(Backend* backend, const LinearJob& job, Workspace& workspace) {
  const bool one_launch = is_one_launch(job);
  if (kFreeOrder && one_launch && job.rows.rows > 1) return run_prefill_job(backend, job, workspace);
  DecodeRows rows(job, workspace);
  // Sums wait in the output, unless a residual may lie there that is still to be read.
  std::array<float*, kMostLinearParts> sums = {};
  for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
    const bool in_output = !job.has_residual && static_cast<int>(i) < job.output_count();
    sums[i] = in_output    ? job.parts[i].output
              : one_launch ? nullptr
                           : workspace.take<float>(job.rows.rows * job.parts[i].outputs);
  }
  if (backend == nullptr || job.rows.rows == 0) return;

  CudaBackend& cuda = cuda_of(*backend);
  bool are_heads_placed = false;
  if (one_launch) {
    are_heads_placed = run_one_launch(cuda, job, rows);
  } else if (is_block_row(cuda.gpu(), job)) {
    are_heads_placed = run_block_rows(cuda, job);
  } else {
    run_apart(cuda.gpu(), job, rows, sums);
  }
  if (job.heads != nullptr && !are_heads_placed) run_linear_heads(cuda.gpu(), *job.heads);
}

std::optional<RoundedRows::Wanted> wanted_rounded_rows(const backend::Kernel& kernel, const Launch& launch) {
  if (kernel.launch != launch_linear_decode) return {};
  const LinearJob job = linear_job(launch);
  if (!is_one_launch(job) || !takes_rounded_rows(job) || (kFreeOrder && job.rows.rows > 1)) return {};
  // Rows that are added, too, are also read as they are.
  if (job.epilogue.residual == job.rows.x || job.epilogue.add.data == job.rows.x) return {};
  return RoundedRows::Wanted{.of = job.rows.x, .rows = job.rows.rows, .width = job.rows.in};
}

size_t linear_decode_workspace(const Backend& /*backend*/, const Launch& launch) {
  Workspace workspace(nullptr);
  run_decode_job(nullptr, linear_job(launch), workspace);
  return workspace.bytes();
}

void launch_linear_decode(Backend& backend, const Launch& launch) {
  Workspace workspace(launch.workspace.data());
  run_decode_job(&backend, linear_job(launch), workspace);
}

}  // namespace ingot::cuda
