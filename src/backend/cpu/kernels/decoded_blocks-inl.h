// Weights in blocks, decoded for block_prefill-inl.h: a byte a weight in the order of the inputs, scales and
// minimums in f32.
//
// Included once per Highway target, after linear_prefill-inl.h.
#ifndef INGOT_CPU_DECODED_BLOCKS_SIZES
#define INGOT_CPU_DECODED_BLOCKS_SIZES

#include <cstdint>

#include "backend/cpu/kernels/block_prefill.h"
#include "backend/cpu/kernels/linear_prefill-inl.h"

namespace ingot::cpu {

// Scales and minimums that an output has in a pass at most: of every 16 weights.
constexpr int64_t kPassScales = 2 * kBlockDepth / 16;
/// Floats of a thread for the decoded weights of a block of outputs, in blocks or not.
constexpr int64_t kDecodedFloats = kBlockOutputs * (kBlockDepth / 4 + kPassScales);
static_assert(kDecodedFloats >= kBlockOutputs * kDepth);

/// The decoded weights of a pass, in a thread's memory.
struct DecodedBlocks {
  explicit DecodedBlocks(float* memory)
      : bytes(reinterpret_cast<uint8_t*>(memory)), scales(memory + kBlockOutputs * kBlockDepth / 4) {}
  uint8_t* bytes;  // [kBlockOutputs, kBlockDepth]
  float* scales;   // [kBlockOutputs, kPassScales]: of every 256 weights their scales, then their minimums
};

}  // namespace ingot::cpu
#endif  // INGOT_CPU_DECODED_BLOCKS_SIZES

#if defined(INGOT_CPU_DECODED_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef INGOT_CPU_DECODED_BLOCKS_INL_H_
#undef INGOT_CPU_DECODED_BLOCKS_INL_H_
#else
#define INGOT_CPU_DECODED_BLOCKS_INL_H_
#endif

#include <hwy/highway.h>

#include "backend/cpu/kernels/block_weights-inl.h"
#include "backend/cpu/kernels/int8_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// Bytes of wide weights are kept with the offset that the dot product's instruction wants.
template <class Format, bool kHasDot>
constexpr int kStoredOffset = Format::kIsWide ? kWideOffset<kHasDot> : Format::kOffset;

template <bool kIsFlipped>
HWY_INLINE VecU8 flip_signs(VecU8 bytes) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kIsFlipped) return hn::Xor(bytes, hn::Set(U8(), uint8_t{0x80}));
#endif
  return bytes;
}

/// 256 weights from `base` on.
template <class Block, bool kHasDot, int kAt = 0>
HWY_INLINE void decode_bytes(const uint8_t* base, uint8_t* to) {
  using Format = BlockWeights<Block>;
  constexpr bool kIsFlipped = Format::kIsWide && kWideOffset<kHasDot> != 0;
  store_u8(flip_signs<kIsFlipped>(Format::template values<kAt>(base)), to + kAt);
  if constexpr (kAt + kByteLanes < kSuper) decode_bytes<Block, kHasDot, kAt + kByteLanes>(base, to);
}

/// `depth` weights from `base` on. Writes whole 256s.
template <class Block, bool kHasDot>
HWY_NOINLINE void decode_blocks(const uint8_t* base, int64_t depth, uint8_t* bytes, float* scales) {
  using Format = BlockWeights<Block>;
  const auto decode = [&](const uint8_t* from) HWY_ATTR {
    decode_bytes<Block, kHasDot>(from, bytes);
    Format::scales(from).store(scales);
    bytes += kSuper;
    scales += 2 * kSuper / Format::kGroup;
  };
  int64_t k = 0;
  for (; k + kSuper <= depth; k += kSuper) {
    decode(base);
    base += kSuperBytes<Block>;
  }
  if (k < depth) decode(PaddedWeights<Block>(base, depth - k).bytes);
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // INGOT_CPU_DECODED_BLOCKS_INL_H_
