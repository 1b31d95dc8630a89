// What decode asks memory for before it reads it. Addresses are numbers here: what is asked for may lie
// outside the weight, and asking for it is harmless.
#pragma once

#include <cstdint>

#include "backend/cpu/kernels/dispatch.h"

namespace ingot::cpu {

// How far ahead weights are asked for, in bytes, and into the second-level cache: what a core waits for is
// the latency of what lies behind it, and more requests are under way than the first level could hold
// (measured on 2 Zen 5 cores, storyteller, microseconds a step: 4 KiB ahead into the first level 582, 8 KiB
// 508; into the second 8 KiB 525, 16 KiB 495, 24 KiB 521).
inline constexpr uintptr_t kPrefetchBytes = kWeightsAhead;

inline uintptr_t address_of(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}
[[gnu::always_inline]] inline void prefetch_far(uintptr_t address) {
  __builtin_prefetch(reinterpret_cast<const void*>(address), /*write=*/0, /*locality=*/2);
}

/// The distance from a weight row at `row` to what should be asked for beside it: a fixed distance ahead in
/// the range that ends at `stop`, and past its end in the range that begins at `next`. What lies between
/// belongs to other threads.
inline uintptr_t bytes_ahead(const void* row, const void* stop, const void* next) {
  if (address_of(row) + kPrefetchBytes < address_of(stop)) return kPrefetchBytes;
  if (next == nullptr) return 0;
  return address_of(next) - address_of(stop) + kPrefetchBytes;  // backwards too: it wraps around
}

}  // namespace ingot::cpu
