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
      : finished(kAlignment),
        code(finished + round_up_to(sizeof(uint64_t) * (instructions + 1))),
        bytes(code + round_up_to(sizeof(StepInstruction) * instructions)) {}

  static constexpr size_t kAlignment = 256;
  static size_t round_up_to(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

  size_t finished;  // the barrier's count is before it
  size_t code;
  size_t bytes;
};

}  // namespace

size_t StepPrograms::bytes(const std::vector<StepSegment>& segments) {
  size_t all = 0;
  for (const StepSegment& segment : segments) {
    if (!segment.instructions.empty()) all += Places(segment.instructions.size()).bytes;
  }
  return all;
}

StepPrograms::StepPrograms(std::vector<StepSegment> segments, PooledBuffer memory, cudaStream_t stream)
    : segments_(std::move(segments)), programs_(segments_.size()), memory_(std::move(memory)) {
  const size_t all = bytes(segments_);
  INGOT_CHECK(memory_.bytes() >= all, "programs of {} bytes in {}", all, memory_.bytes());
  if (all == 0) return;
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
                    .arrived = reinterpret_cast<uint32_t*>(device + at),
                    .finished = reinterpret_cast<uint64_t*>(device + at + places.finished),
                    .row_bytes = segment.row_bytes,
                    .has_attention = segment.has_attention};
    at += places.bytes;
  }
  check_cuda(cudaMemcpyAsync(device, host.data(), all, cudaMemcpyHostToDevice, stream), "copy of a program");
  check_cuda(cudaStreamSynchronize(stream), "copy of a program");  // `host` goes
}

}  // namespace ingot::cuda
