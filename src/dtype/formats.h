// Every storage format Ingot decodes: one line each.
#pragma once

#include "dtype/bf16.h"  // IWYU pragma: export
#include "dtype/f16.h"   // IWYU pragma: export

namespace ingot::dtype {

INGOT_HD inline float decode(float value) {
  return value;
}

}  // namespace ingot::dtype
