#include "backend/cuda/step_builder.h"

#include <algorithm>

#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/attention_launch.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/linear_qkv.h"
#include "backend/cuda/kernels/tensor_maps.h"

namespace ingot::cuda {
namespace {

using backend::Kernel;
using backend::Launch;

/// A program saves what lies between kernels: of one launch, nothing.
constexpr size_t kFewestLaunches = 2;

/// Whether attention reads what these heads become: then it places them itself.
bool belong_together(const LinearHeads& heads, const PagedAttention& attention) {
  return heads.q_out == attention.q && heads.keys == attention.keys && heads.values == attention.values &&
         heads.rows == attention.rows && heads.heads == attention.heads &&
         heads.kv_heads == attention.kv_heads && heads.head_dim == attention.head_dim;
}

bool are_equal(const StepHeads& a, const StepHeads& b) {
  return a.head_dim == b.head_dim && a.at_once == b.at_once;
}

/// The instructions of one launch, if there are any.
class LaunchInstructions {
 public:
  LaunchInstructions(const Gpu& gpu, const Kernel& kernel, const Launch& launch, std::byte* scratch,
                     const StepSegment* program)
      : gpu_(gpu) {
    if (kernel.launch == launch_linear_decode) {
      is_complete_ = add(linear_job(launch));
    } else if (kernel.launch == launch_qkv_decode) {
      add_qkv(launch, scratch);
    } else if (kernel.launch == launch_attention_decode) {
      add_attention(launch, program);
    }
  }
  bool is_complete() const { return is_complete_; }
  const std::vector<StepInstruction>& instructions() const { return instructions_; }
  int row_bytes() const { return row_bytes_; }
  StepHeads heads() const { return heads_; }
  size_t scratch_bytes() const { return scratch_bytes_; }
  /// Whether they can follow the program's.
  bool fits() const { return fits_; }
  /// Whether the program's last instruction is not needed any more.
  bool replaces_last() const { return replaces_last_; }

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
    if (rows.in % 32 != 0) return false;  // the copy engine leaves nothing out
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
    if (has_tensor_maps()) linear.box_values = step_box_values(rows.in);
    push(StepKind::linear, linear);
    return true;
  }

  /// The products go where nothing else is written before attention has read them.
  void add_qkv(const Launch& launch, std::byte* scratch) {
    Workspace workspace(scratch);
    QkvJob qkv = qkv_job(launch, workspace);
    if (qkv.linear.parts[0].output == launch.output.as<float>()) {
      auto* q = workspace.take<float>(qkv.heads.rows * qkv.heads.q_stride);
      qkv.linear.parts[0].output = q;
      qkv.heads.q = q;
    }
    scratch_bytes_ = workspace.bytes();
    is_complete_ = add(qkv.linear);
    push(StepKind::heads, qkv.heads);
  }

  void add_attention(const Launch& launch, const StepSegment* program) {
    const PagedAttention attention = read_attention(launch);
    if (attention.rows < 1 || attention.rows > kMostStepRows || !has_step_program(gpu_, 0)) return;
    heads_ = step_heads(attention);
    if (heads_.head_dim == 0) return;
    is_complete_ = true;
    // A program's attention is made for one kind of heads.
    fits_ = program == nullptr || program->heads.head_dim == 0 || are_equal(heads_, program->heads);
    StepAttention step{.attention = attention, .sums = split_sums(attention, launch), .heads = {}};
    if (program != nullptr && fits_) {
      const StepInstruction& last = program->instructions.back();
      if (last.kind == StepKind::heads && belong_together(last.as<LinearHeads>(), attention)) {
        step.heads = last.as<LinearHeads>();
        step.has_heads = true;
        replaces_last_ = true;
      }
    }
    push(StepKind::attend, step);
  }

  const Gpu& gpu_;
  std::vector<StepInstruction> instructions_;
  int row_bytes_ = 0;
  size_t scratch_bytes_ = 0;
  StepHeads heads_ = {};
  bool fits_ = true;
  bool replaces_last_ = false;
  bool is_complete_ = false;
};

}  // namespace

StepPlan plan_step(const Gpu& gpu, const backend::Slice& slice, std::byte* scratch) {
  StepPlan plan;
  std::vector<StepSegment>& segments = plan.segments;
  for (size_t i = 0; i < slice.launches.size(); ++i) {
    const bool has_program = !segments.empty() && !segments.back().instructions.empty();
    const LaunchInstructions of_launch(gpu, *slice.kernels[i], slice.launches[i], scratch,
                                       has_program ? &segments.back() : nullptr);
    if (segments.empty() || has_program != of_launch.is_complete() || !of_launch.fits())
      segments.push_back({.first = i});
    StepSegment& segment = segments.back();
    ++segment.launches;
    if (!of_launch.is_complete()) continue;
    if (of_launch.replaces_last()) {
      segment.instructions.pop_back();
      segment.launch_of.pop_back();
    }
    for (const StepInstruction& instruction : of_launch.instructions()) {
      segment.instructions.push_back(instruction);
      segment.launch_of.push_back(static_cast<uint32_t>(i));
    }
    segment.row_bytes = std::max(segment.row_bytes, of_launch.row_bytes());
    if (of_launch.heads().head_dim != 0) segment.heads = of_launch.heads();
    plan.scratch_bytes = std::max(plan.scratch_bytes, of_launch.scratch_bytes());
  }
  for (StepSegment& segment : segments) {
    if (segment.launches < kFewestLaunches) segment.instructions.clear();
  }
  return plan;
}

}  // namespace ingot::cuda
