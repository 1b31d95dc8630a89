// Every storage format Ingot decodes: one line each. Host code and CUDA include this; sources of devices
// without a C++ standard library include the formats they need.
#pragma once

#include "dtype/bf16.h"     // IWYU pragma: export
#include "dtype/f16.h"      // IWYU pragma: export
#include "dtype/f8_e4m3.h"  // IWYU pragma: export
#include "dtype/iq4_nl.h"   // IWYU pragma: export
#include "dtype/iq4_xs.h"   // IWYU pragma: export
#include "dtype/mxfp4.h"    // IWYU pragma: export
#include "dtype/q2_k.h"     // IWYU pragma: export
#include "dtype/q3_k.h"     // IWYU pragma: export
#include "dtype/q4_0.h"     // IWYU pragma: export
#include "dtype/q4_1.h"     // IWYU pragma: export
#include "dtype/q4_k.h"     // IWYU pragma: export
#include "dtype/q5_0.h"     // IWYU pragma: export
#include "dtype/q5_1.h"     // IWYU pragma: export
#include "dtype/q5_k.h"     // IWYU pragma: export
#include "dtype/q6_k.h"     // IWYU pragma: export
#include "dtype/q8_0.h"     // IWYU pragma: export
#include "ingot/dtype.h"

namespace ingot::dtype {

INGOT_HD inline float decode(float value) {
  return value;
}

/// Calls f(pointer) with `data` as the blocks of a block format: const Q8_0*, const Q4_K* … Returns false,
/// without a call, for every other type.
#ifdef __CUDACC__
#pragma nv_exec_check_disable  // f may run on one side only
#endif
template <class F>
INGOT_HD bool with_blocks(DType dtype, const void* data, F&& f) {
  switch (dtype) {
    case DType::q8_0:
      f(static_cast<const Q8_0*>(data));
      return true;
    case DType::q4_0:
      f(static_cast<const Q4_0*>(data));
      return true;
    case DType::q4_1:
      f(static_cast<const Q4_1*>(data));
      return true;
    case DType::q5_0:
      f(static_cast<const Q5_0*>(data));
      return true;
    case DType::q5_1:
      f(static_cast<const Q5_1*>(data));
      return true;
    case DType::q2_k:
      f(static_cast<const Q2_K*>(data));
      return true;
    case DType::q3_k:
      f(static_cast<const Q3_K*>(data));
      return true;
    case DType::q4_k:
      f(static_cast<const Q4_K*>(data));
      return true;
    case DType::q5_k:
      f(static_cast<const Q5_K*>(data));
      return true;
    case DType::q6_k:
      f(static_cast<const Q6_K*>(data));
      return true;
    case DType::iq4_nl:
      f(static_cast<const Iq4_NL*>(data));
      return true;
    case DType::iq4_xs:
      f(static_cast<const Iq4_XS*>(data));
      return true;
    case DType::mxfp4:
      f(static_cast<const Mxfp4*>(data));
      return true;
    default:
      return false;
  }
}

/// Value i of an array of a weight type, decoded.
INGOT_HD inline float value_at(DType dtype, const void* data, int64_t i) {
  switch (dtype) {
    case DType::f16:
      return decode(static_cast<const F16*>(data)[i]);
    case DType::bf16:
      return decode(static_cast<const Bf16*>(data)[i]);
    case DType::f8_e4m3:
      return decode(static_cast<const F8E4M3*>(data)[i]);
    case DType::f32:
      return static_cast<const float*>(data)[i];
    default: {
      float value = __builtin_nanf("");
      with_blocks(dtype, data, [&]<class Block>(const Block* blocks) {
        value = decode(blocks[i / Block::kElements], static_cast<int>(i % Block::kElements));
      });
      return value;
    }
  }
}

}  // namespace ingot::dtype
