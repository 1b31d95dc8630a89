#include "backend/cuda/kernels/rope_table.h"

#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "graph/ops/rope_table.h"

namespace ingot::cuda {

void launch_rope_table(backend::Backend& backend, const backend::Launch& launch) {
  const auto& op = static_cast<const graph::RopeTableOp&>(*launch.op);
  const auto frequencies = op.frequencies();
  RopeTable table{.positions = launch.inputs[0].i32(),
                  .table = launch.output.as<float>(),
                  .rows = launch.inputs[0].shape[0],
                  .all_pairs = static_cast<int>(frequencies.size()),
                  .factor = op.attention_factor(),
                  .frequencies = {}};
  for (size_t first = 0; first < frequencies.size(); first += RopeTable::kMostPairs) {
    const size_t pairs = std::min<size_t>(RopeTable::kMostPairs, frequencies.size() - first);
    table.first_pair = static_cast<int>(first);
    table.pairs = static_cast<int>(pairs);
    std::copy_n(frequencies.begin() + static_cast<std::ptrdiff_t>(first), pairs, table.frequencies);
    run_rope_table(gpu_of(backend), table);
  }
}

}  // namespace ingot::cuda
