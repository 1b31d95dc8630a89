// Random blocks of every block format, for op cases: any bits that a checkpoint could have, at a chosen size.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "ingot/dtype.h"

namespace ingot::opcases {

/// Fills `bytes`, whole blocks of `dtype`, with random bits, and scales of both signs for values that lie
/// within [-scale, scale], spread over most of it. `uniform` gives numbers in [0, 1).
void random_blocks(DType dtype, std::span<std::byte> bytes, double scale,
                   const std::function<double()>& uniform);

}  // namespace ingot::opcases
