// What linear_qkv does: products, and what happens to the heads. Host only.
#pragma once

#include "backend/cuda/kernels/linear_heads.h"
#include "backend/cuda/kernels/linear_job.h"

namespace ingot::cuda {

struct QkvJob {
  LinearJob linear;   // of two or three parts, or of one with queries, keys and values side by side
  LinearHeads heads;  // reads what `linear` writes
};
/// Takes the workspace for the products; those of the queries may wait in the output.
QkvJob qkv_job(const backend::Launch& launch, Workspace& workspace);

}  // namespace ingot::cuda
