#include "backend/null/null_backend.h"

#include <algorithm>

#include "graph/op_table.h"

namespace ingot::null {

NullBackend::NullBackend(NullOptions options) : options_(std::move(options)) {
  const auto& without = options_.without;
  for (const graph::OpEntry& entry : graph::op_table()) {
    if (std::find(without.begin(), without.end(), entry.name) != without.end()) continue;
    kernels_.push_back({.op = entry.name,
                        .name = "null",
                        .supports = [](const backend::KernelQuery&) { return true; },
                        .workspace_bytes = nullptr,
                        .launch = [](backend::Backend&, const backend::Launch&) {}});
  }
}

const backend::Kernel* NullBackend::find_kernel(const backend::KernelQuery& query) const {
  for (const backend::Kernel& kernel : kernels_) {
    if (kernel.op == query.op.name()) return &kernel;
  }
  return nullptr;
}

void NullBackend::submit(std::span<const backend::Kernel* const> kernels,
                         std::span<const backend::Launch> launches) {
  for (size_t i = 0; i < launches.size(); ++i) kernels[i]->launch(*this, launches[i]);
  launches_ += static_cast<int64_t>(launches.size());
}

}  // namespace ingot::null
