#include "graph/ops/add.h"

#include "opcases/pointwise.h"

namespace ingot::opcases {

std::vector<OpCase> add_cases() {
  return binary_cases("add", graph::add);
}
std::vector<BadCase> add_bad_cases() {
  return binary_bad_cases("add", graph::add);
}

}  // namespace ingot::opcases
