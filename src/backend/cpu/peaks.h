// What this machine can do at most, measured: the limits that benchmarks are compared with.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace ingot::cpu {

/// Bytes a second that all threads together read, in GB/s, from a buffer of `bytes` (at least 1 MiB, at most 1 GiB)
/// that they read again and again: of memory, or of a cache that it fits in. The best of several passes.
double measure_read_gbps(ThreadPool& pool, size_t bytes);

/// f32 multiply-adds of all threads together on registers, in GFLOP/s (two a multiply-add).
double measure_f32_gflops(ThreadPool& pool);

}  // namespace ingot::cpu
