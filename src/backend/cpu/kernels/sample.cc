// sample: rows in parallel, each by the sampler of graph/ops/sampler.h.
#include "graph/ops/sample.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"

namespace ingot::cpu {

size_t sample_workspace(const backend::Backend&, const backend::Launch& launch) {
  return static_cast<size_t>(launch.inputs[0].elements()) * sizeof(graph::Candidate);
}

void launch_sample(backend::Backend& backend, const backend::Launch& launch) {
  const graph::Tensor& logits = launch.inputs[0];
  const auto vocab = static_cast<size_t>(logits.shape[1]);
  auto* scratch = reinterpret_cast<graph::Candidate*>(launch.workspace.data());
  pool_of(backend).parallel_for(logits.shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto offset = static_cast<size_t>(r) * vocab;
      launch.output.as<int32_t>()[r] = graph::sample_row(
          {logits.f32() + offset, vocab}, graph::sampler_counts(launch.inputs[2], launch.inputs[3], r),
          graph::sampler_row(launch.inputs[1], launch.inputs[2], r), {scratch + offset, vocab});
    }
  });
}

}  // namespace ingot::cpu
