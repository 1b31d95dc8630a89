// Addresses in the 32 bits of shared memory's own window, which instructions of PTX take.
#pragma once

#include <cstdint>

namespace ingot::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

}  // namespace ingot::cuda
