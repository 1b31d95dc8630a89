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

uint64_t NullBackend::submit(const backend::Slice& slice) {
  copies_ += static_cast<int64_t>(slice.copies_in.size() + slice.copies_out.size());
  for (size_t i = 0; i < slice.launches.size(); ++i) slice.kernels[i]->launch(*this, slice.launches[i]);
  launches_ += static_cast<int64_t>(slice.launches.size());
  return 0;
}

}  // namespace ingot::null
