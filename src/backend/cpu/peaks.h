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
/// Products and sums of bytes, in 1e9 operations a second: with the machine's instruction for them, or with
/// the pairs of instructions that stand for it.
double measure_int8_gops(ThreadPool& pool);

}  // namespace ingot::cpu
