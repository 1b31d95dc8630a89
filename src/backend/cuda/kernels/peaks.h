// What the device can do at most: loops that only read, and that only multiply and add.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

/// Reads `bytes` (a multiple of 16) once; `sink` takes 4 bytes that nobody looks at.
void run_read(const Gpu& gpu, const void* data, size_t bytes, void* sink);
/// Multiplies and adds in f32; returns how many operations (two a multiply-add) it launched.
double run_multiply_add(const Gpu& gpu, void* sink);
/// Pseudo-random bf16 numbers in [-1, 1).
void run_random_bf16(const Gpu& gpu, void* data, int64_t count);
/// Does nothing.
void run_nothing(const Gpu& gpu);

}  // namespace ingot::cuda
