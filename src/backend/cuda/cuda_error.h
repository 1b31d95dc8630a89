// CUDA's status codes as Errors.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

namespace ingot::cuda {

/// Errors: out_of_memory where memory ran out, not_found without a driver or device, unsupported for a driver
/// that is too old or a device without code in this build, device_failed for the rest; the message names
/// `what` (the call or the kernel) and CUDA's own words.
void check_cuda(cudaError_t status, std::string_view what);

/// Whether the device can run nothing more for this process after such an error.
bool is_fatal(cudaError_t status);

}  // namespace ingot::cuda
