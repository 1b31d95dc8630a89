#include "backend/cuda/step_builder.h"

#include <algorithm>

#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/linear_qkv.h"

namespace ingot::cuda {
namespace {

using backend::Kernel;
using backend::Launch;

/// A program saves what lies between kernels: of one launch, nothing.
constexpr size_t kFewestLaunches = 2;

/// The instructions of one launch, if there are any.
class LaunchInstructions {
 public:
  LaunchInstructions(const Gpu& gpu, const Kernel& kernel, const Launch& launch) : gpu_(gpu) {
    if (kernel.launch == launch_linear_decode) {
      is_complete_ = add(linear_job(launch));
    } else if (kernel.launch == launch_qkv_decode) {
      Workspace workspace(launch.workspace.data());
      const QkvJob qkv = qkv_job(launch, workspace);
      is_complete_ = add(qkv.linear);
      push(StepKind::heads, qkv.heads);
    } else if (kernel.launch == launch_attention_decode) {
      is_complete_ = add_attention(launch);
    }
  }
  bool is_complete() const { return is_complete_; }
  const std::vector<StepInstruction>& instructions() const { return instructions_; }
  int row_bytes() const { return row_bytes_; }
  bool has_attention() const { return has_attention_; }

 private:
  template <class T>
  void push(StepKind kind, const T& operands) {
    static_assert(std::is_trivially_copyable_v<T>);
    StepInstruction& instruction = instructions_.emplace_back();
    instruction.kind = kind;
    instruction.as<T>() = operands;
  }

  bool add(const LinearJob& job) {
    const RowPreparation& rows = job.rows;
    if (rows.rows < 1 || rows.rows > kMostStepRows || job.output_count() > kMostStepParts) return false;
    StepLinear linear{.part_count = job.output_count(),
                      .rows = static_cast<int32_t>(rows.rows),
                      .in = static_cast<int32_t>(rows.in),
                      .dtype = job.parts[0].dtype,
                      .epilogue = job.epilogue,
                      .x = rows.x,
                      .norm = rows.norm,
                      .eps = rows.eps,
                      .norm_weight = rows.norm_weight,
                      .norm_bias = rows.norm_bias};
    for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
      const LinearPart& part = job.parts[i];
      if (part.dtype != linear.dtype || part.outputs == 0 ||
          decode_product(part.dtype, part.is_in_out, rows.in) != LinearProduct::skinny)
        return false;
    }
    for (size_t i = 0; i < static_cast<size_t>(linear.part_count); ++i) {
      const LinearPart& part = job.parts[i];
      linear.parts[i] = {.weight = part.weight,
                         .bias = part.bias,
                         .out = part.output,
                         .outputs = static_cast<int32_t>(part.outputs)};
    }
    if (job.epilogue.gated) {
      linear.parts[0].up = job.parts[1].weight;
      linear.parts[0].up_bias = job.parts[1].bias;
    }
    const int bytes = step_row_bytes(rows.rows, rows.in);
    if (!has_step_program(gpu_, bytes)) return false;
    row_bytes_ = std::max(row_bytes_, bytes);
    cut_step_tiles(gpu_, linear);
    push(StepKind::linear, linear);
    return true;
  }

  bool add_attention(const Launch& launch) {
    const PagedAttention attention = read_attention(launch);
    if (attention.rows < 1 || attention.rows > kMostStepRows || !has_step_attention(attention)) return false;
    const StepAttention step{.attention = attention, .sums = split_sums(attention, launch)};
    push(StepKind::attend, step);
    if (step.sums.most_splits > 1) push(StepKind::join, step);
    has_attention_ = true;
    return has_step_program(gpu_, 0);
  }

  const Gpu& gpu_;
  std::vector<StepInstruction> instructions_;
  int row_bytes_ = 0;
  bool has_attention_ = false;
  bool is_complete_ = false;
};

}  // namespace

std::vector<StepSegment> plan_step(const Gpu& gpu, const backend::Slice& slice) {
  std::vector<StepSegment> segments;
  for (size_t i = 0; i < slice.launches.size(); ++i) {
    const LaunchInstructions of_launch(gpu, *slice.kernels[i], slice.launches[i]);
    const bool has_program = !segments.empty() && !segments.back().instructions.empty();
    if (segments.empty() || has_program != of_launch.is_complete()) segments.push_back({.first = i});
    StepSegment& segment = segments.back();
    ++segment.launches;
    if (!of_launch.is_complete()) continue;
    for (const StepInstruction& instruction : of_launch.instructions()) {
      segment.instructions.push_back(instruction);
      segment.launch_of.push_back(static_cast<uint32_t>(i));
    }
    segment.row_bytes = std::max(segment.row_bytes, of_launch.row_bytes());
    segment.has_attention |= of_launch.has_attention();
  }
  for (StepSegment& segment : segments) {
    if (segment.launches < kFewestLaunches) segment.instructions.clear();
  }
  return segments;
}

}  // namespace ingot::cuda
