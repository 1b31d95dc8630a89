// The memory planner: offsets in one arena for values with known lifetimes.
#pragma once

#include <cstddef>
#include <span>

namespace ingot::exec {

/// A block of the arena, alive from launch `first` to launch `last`, both included.
struct Lifetime {
  size_t bytes = 0;
  int first = 0;
  int last = 0;
  size_t offset = 0;  // out
};

/// Offsets and sizes are multiples of this: a cache line, and the widest vector register.
inline constexpr size_t kArenaAlignment = 64;

/// Places the blocks so that none that live at once overlap, each at the lowest free offset: largest first
/// (the greedy-by-size rule of Pisarchyk and Lee, 2020), earliest first, and longest-lived first. While an
/// arena is larger than the lower bound, the block on top is placed first and the rest again ("squeaky
/// wheel", Joslin and Clements, 1999); the smallest arena wins. Returns its bytes.
size_t place(std::span<Lifetime> blocks);

/// The most bytes alive at one launch: the lower bound of any placement.
size_t peak_live_bytes(std::span<const Lifetime> blocks);

}  // namespace ingot::exec
