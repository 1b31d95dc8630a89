#include "graph/ops/sample.h"

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/sample.h"
#include "backend/cuda/watched_logits.h"

namespace ingot::cuda {

static_assert(int{Sample::kTemperature} == graph::kTemperature && int{Sample::kTopP} == graph::kTopP &&
              int{Sample::kMinP} == graph::kMinP &&
              int{Sample::kRepetitionPenalty} == graph::kRepetitionPenalty &&
              int{Sample::kFrequencyPenalty} == graph::kFrequencyPenalty &&
              int{Sample::kPresencePenalty} == graph::kPresencePenalty &&
              int{Sample::kFloats} == graph::kSamplingFloats);
static_assert(int{Sample::kTopK} == graph::kTopK && int{Sample::kSeedLow} == graph::kSeedLow &&
              int{Sample::kSeedHigh} == graph::kSeedHigh && int{Sample::kPosition} == graph::kPosition &&
              int{Sample::kCountsRow} == graph::kCountsRow && int{Sample::kInts} == graph::kSamplingInts);

size_t sample_workspace(const backend::Backend&, const backend::Launch& launch) {
  const graph::Tensor& logits = launch.inputs[0];
  return sample_workspace_bytes(logits.shape[0], logits.shape[1]);
}

namespace {

Sample sample_of(const backend::Launch& launch) {
  const graph::Tensor& logits = launch.inputs[0];
  const graph::Tensor& counts = launch.inputs[3];
  return {.logits = logits.f32(),
          .floats = launch.inputs[1].f32(),
          .ints = launch.inputs[2].i32(),
          .counts = counts.i32(),
          .counts_rows = counts.shape[0],
          .rows = logits.shape[0],
          .vocab = static_cast<int>(logits.shape[1]),
          .workspace = launch.workspace.data(),
          .ids = launch.output.as<int32_t>()};
}

}  // namespace

void launch_sample(backend::Backend& backend, const backend::Launch& launch) {
  CudaBackend& cuda = cuda_of(backend);
  const Sample sample = sample_of(launch);
  if (const LogitsWatch* watch = cuda.watched_logits().find(sample.logits)) {
    run_watched_sample(cuda.gpu(), *watch);
  } else {
    run_sample(cuda.gpu(), sample);
  }
}

std::optional<Sample> wanted_logits(const backend::Kernel& kernel, const backend::Launch& launch) {
  if (kernel.launch != launch_sample) return {};
  const Sample sample = sample_of(launch);
  if (sample.rows != 1 || sample.vocab == 0) return {};
  return sample;
}

}  // namespace ingot::cuda
