#include "graph/ops/mul.h"

#include "opcases/pointwise.h"

namespace ingot::opcases {

std::vector<OpCase> mul_cases() {
  return binary_cases("mul", graph::mul);
}
std::vector<BadCase> mul_bad_cases() {
  return binary_bad_cases("mul", graph::mul);
}

}  // namespace ingot::opcases
