// The backends of this build by name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace ingot::backend {

struct BackendOptions {
  int threads = 0;           // cpu: 0 takes one on each performance core that this process may use
  bool pin = false;          // cpu: each thread on a CPU of its own
  bool cap_threads = false;  // cpu: no more threads than can run at once (Limits::notes says so)
};

std::vector<std::string> backend_names();

/// Errors: invalid_argument for a name that is not in this build (the message lists those that are) or
/// options outside their range.
std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options);

}  // namespace ingot::backend
