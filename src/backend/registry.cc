#include "backend/registry.h"

#include <fmt/ranges.h>

#include "backend/cpu/cpu_backend.h"
#include "base/check.h"
#ifdef INGOT_HAS_CUDA
#include "backend/cuda/cuda_backend.h"
#endif

namespace ingot::backend {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<Backend> (*make)(const BackendOptions& options);
};

// The null backend computes nothing; tests make it by hand.
constexpr Entry kBackends[] = {
#ifdef INGOT_HAS_CUDA
    {"cuda",
     [](const BackendOptions&) -> std::unique_ptr<Backend> { return std::make_unique<cuda::CudaBackend>(); }},
#endif
    {"cpu",
     [](const BackendOptions& options) -> std::unique_ptr<Backend> {
       return std::make_unique<cpu::CpuBackend>(
           choose_thread_team({.threads = options.threads, .pin = options.pin, .cap = options.cap_threads}));
     }},
};

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
  for (const Entry& entry : kBackends) {
    if (entry.name == name) return entry.make(options);
  }
  fail(ErrorCode::invalid_argument, "device: expected one of {}, found '{}'",
       fmt::join(backend_names(), ", "), name);
}

}  // namespace ingot::backend
