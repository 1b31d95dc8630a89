// Whether sums may be added in any order: only in builds that measure what a fixed order costs.
//
// With the CMake option INGOT_CUDA_FREE_ORDER, prompts and steps of several rows take the library's best
// algorithm for their number of rows, which may split K: a row's bits then depend on how many rows run beside
// it, which breaks the step contract. Tests of determinism fail in such a build. Host only.
#pragma once

namespace ingot::cuda {

#ifdef INGOT_CUDA_FREE_ORDER
inline constexpr bool kFreeOrder = true;
#else
inline constexpr bool kFreeOrder = false;
#endif

}  // namespace ingot::cuda
