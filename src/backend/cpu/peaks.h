// What this machine can do at most, measured: the limits that benchmarks are compared with.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"

namespace ingot::cpu {

/// What all threads together read from memory, in GB/s: the best of several passes over a buffer that no
/// cache holds.
double measure_read_gbps(ThreadPool& pool);

/// f32 multiply-adds of all threads together on registers, in GFLOP/s (two a multiply-add).
double measure_f32_gflops(ThreadPool& pool);

}  // namespace ingot::cpu
