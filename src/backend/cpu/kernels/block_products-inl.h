// decode's products with weights in block formats: exact integer dot products of each group, whose scales are
// multiplied in and added up in f32. What decode_products() calls; defined in block_products.cc, which alone
// holds the instances for every format.
//
// Included once per Highway target, after <hwy/highway.h>.
#if defined(INGOT_CPU_BLOCK_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_BLOCK_PRODUCTS_INL_H_
#undef INGOT_CPU_BLOCK_PRODUCTS_INL_H_
#else
#define INGOT_CPU_BLOCK_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/kernels/decode_rows.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// decode_products() for a part whose weight is in blocks; x has quantised rows.
void block_products(const DecodeRows& x, const LinearPart& part, int64_t begin, int64_t end, float* out,
                    int64_t out_stride, const void* next);

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_BLOCK_PRODUCTS_INL_H_
