#include "backend/cuda/step_programs.h"

#include <cstring>
#include <utility>

#include "backend/cuda/cuda_error.h"
#include "base/check.h"

namespace ingot::cuda {
namespace {

/// Where the parts of a program lie from its start on.
struct Places {
  explicit Places(size_t instructions)
      : finished(round_up_to(sizeof(StepShared))),
        code(finished + round_up_to(sizeof(uint64_t) * (instructions + 1))),
        bytes(code + round_up_to(sizeof(StepInstruction) * instructions)) {}

  static constexpr size_t kAlignment = 256;
  static size_t round_up_to(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

  size_t finished;  // behind StepShared
  size_t code;
  size_t bytes;
};

}  // namespace

StepPrograms::StepPrograms(const Gpu& gpu, const backend::Slice& slice,
                           const std::function<PooledBuffer(size_t bytes)>& allocate) {
  const StepPlan sizes = plan_step(gpu, slice, nullptr);
  size_t all = 0;
  for (const StepSegment& segment : sizes.segments) {
    if (!segment.instructions.empty()) all += Places(segment.instructions.size()).bytes;
  }
  if (all == 0) {
    segments_ = sizes.segments;
    programs_.resize(segments_.size());
    return;
  }
  memory_ = allocate(all + sizes.scratch_bytes);
  segments_ = plan_step(gpu, slice, static_cast<std::byte*>(memory_.data()) + all).segments;
  programs_.resize(segments_.size());
  std::vector<std::byte> host(all);
  auto* const device = static_cast<std::byte*>(memory_.data());
  size_t at = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const StepSegment& segment = segments_[i];
    if (segment.instructions.empty()) continue;
    const Places places(segment.instructions.size());
    std::memcpy(host.data() + at + places.code, segment.instructions.data(),
                segment.instructions.size() * sizeof(StepInstruction));
    programs_[i] = {.instructions = reinterpret_cast<const StepInstruction*>(device + at + places.code),
                    .count = static_cast<int>(segment.instructions.size()),
                    .shared = reinterpret_cast<StepShared*>(device + at),
                    .finished = reinterpret_cast<uint64_t*>(device + at + places.finished),
                    .row_bytes = segment.row_bytes,
                    .heads = segment.heads};
    at += places.bytes;
  }
  check_cuda(cudaMemcpyAsync(device, host.data(), all, cudaMemcpyHostToDevice, gpu.stream),
             "copy of a program");
  check_cuda(cudaStreamSynchronize(gpu.stream), "copy of a program");  // `host` goes
}

}  // namespace ingot::cuda
