// Micro-benchmarks of a backend: what its kernels take at several sizes, fitted to the cost model.
#pragma once

#include "exec/cost_model.h"

namespace ingot::exec {

/// Runs op cases on the backend for a few seconds, with all its threads; nothing else may use it meanwhile.
/// Takes up to 512 MiB of its memory for that long.
DeviceCosts measure_costs(backend::Backend& backend);

}  // namespace ingot::exec
