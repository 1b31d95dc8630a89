#include "backend/cuda/step_programs.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "backend/cuda/cuda_error.h"
#include "backend/cuda/kernels/tensor_maps.h"
#include "base/check.h"

namespace ingot::cuda {
namespace {

/// Where the parts of a program lie from its start on.
struct Places {
  explicit Places(size_t instructions)
      : finished(round_up_to(sizeof(StepShared))),
        code(finished + round_up_to(sizeof(uint64_t) * (instructions + 1))),
        maps(code + round_up_to(sizeof(StepInstruction) * instructions)),
        bytes(maps + round_up_to(sizeof(CUtensorMap) * kMaps * instructions)) {}

  static constexpr size_t kMaps = 2 * kMostStepParts;  // of an instruction

  static constexpr size_t kAlignment = 256;
  static size_t round_up_to(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

  size_t finished;  // behind StepShared
  size_t code;
  size_t maps;
  size_t bytes;
};

/// Describes the weights of an instruction to the copy engine; `maps` will lie at `on_device`.
void make_maps(StepInstruction& instruction, CUtensorMap* maps, std::byte* on_device) {
  if (instruction.kind != StepKind::linear) return;
  auto& linear = instruction.as<StepLinear>();
  if (linear.box_values == 0) return;
  size_t count = 0;
  const auto map_of = [&](const void* weight, int64_t rows) -> const void* {
    if (weight == nullptr) return nullptr;
    maps[count] = map_boxes({.data = weight,
                             .dtype = linear.dtype,
                             .rows = rows,
                             .width = linear.in,
                             .stride = linear.in,
                             .box_width = linear.box_values,
                             .is_swizzled = false,
                             .box_rows = 8});
    return on_device + count++ * sizeof(CUtensorMap);
  };
  for (int i = 0; i < linear.part_count; ++i) {
    StepPart& part = linear.parts[i];
    part.weight_map = map_of(part.weight, part.outputs);
    part.up_map = map_of(part.up, part.outputs);
  }
}

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
    auto* const instructions = reinterpret_cast<StepInstruction*>(host.data() + at + places.code);
    for (size_t k = 0; k < segment.instructions.size(); ++k) {
      const size_t maps = at + places.maps + k * Places::kMaps * sizeof(CUtensorMap);
      make_maps(instructions[k], reinterpret_cast<CUtensorMap*>(host.data() + maps), device + maps);
    }
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

StepPrograms::~StepPrograms() {
  std::map<std::string, std::pair<int, double>> sums;
  double all = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].instructions.empty()) continue;
    const auto& in = segments_[i].instructions;
    std::vector<uint64_t> t(in.size() + 1);
    cudaDeviceSynchronize();
    cudaMemcpy(t.data(), programs_[i].finished, t.size() * 8, cudaMemcpyDeviceToHost);
    for (size_t k = 0; k < in.size(); ++k) {
      std::string name;
      if (in[k].kind == StepKind::linear) {
        const auto& l = in[k].as<StepLinear>();
        int outs = 0;
        for (int q = 0; q < l.part_count; ++q) outs += l.parts[q].outputs;
        name = "linear " + std::to_string(l.in) + "->" + std::to_string(outs) +
               (l.epilogue.gated ? " gated" : "") + " rows " + std::to_string(l.rows) + " halves " +
               std::to_string(l.halves) + " ideal_us " +
               std::to_string(double(l.in) * outs * 2 * (l.epilogue.gated ? 2 : 1) / 4.55e6);
      } else
        name = "kind " + std::to_string(int(in[k].kind));
      auto& e = sums[name];
      e.first++;
      e.second += double(t[k + 1] - t[k]) / 1000;
      all += double(t[k + 1] - t[k]) / 1000;
    }
  }
  fprintf(stderr, "PROGRAM segments %zu sum %.1f us\n", segments_.size(), all);
  for (auto& [n, e] : sums)
    fprintf(stderr, "  %-60s n %4d  each %.2f us  all %.1f\n", n.c_str(), e.first, e.second / e.first,
            e.second);
}

}  // namespace ingot::cuda
