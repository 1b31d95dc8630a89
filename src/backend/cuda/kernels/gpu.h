// What a kernel's host side needs of the device. Shared by device sources: no headers of the engine.
//
// A kernel has up to three files: <op>.h declares a struct of its arguments and run_<op>(), <op>.cu has the
// device code and run_<op>(), which only launches, and <op>.cc reads an op's attributes and tensors into the
// arguments.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace ingot::cuda {

struct Gpu {
  cudaStream_t stream = nullptr;
  int multiprocessors = 0;
  int shared_bytes_per_block = 0;  // the most a kernel may ask for (cudaFuncSetAttribute above 48 KB)
  int compute_capability = 0;      // 80, 90 …
};

/// Threads of a warp.
inline constexpr int kWarp = 32;

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

}  // namespace ingot::cuda
