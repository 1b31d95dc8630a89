// pointwise: a chain of point-wise ops, a block of elements at a time, so that what is between the steps
// stays in the first-level cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/pointwise.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <array>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/activations-inl.h"
#include "backend/cpu/kernels/dispatch.h"
#include "graph/ops/pointwise.h"

#ifndef INGOT_CPU_POINTWISE_SIZES
#define INGOT_CPU_POINTWISE_SIZES
namespace ingot::cpu {

// Elements of a block: 24 operands of it, the most there may be, take 24 KiB.
constexpr int64_t kPointwiseBlock = 256;

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// out[i] = x[(begin + i) % row elements], as f32.
HWY_INLINE void decode_block(const graph::Tensor& x, int64_t begin, int64_t count, float* out) {
  const F32 d;
  const int64_t row = x.elements();
  with_weight(x, [&](const auto* from) HWY_ATTR {
    for (int64_t done = 0; done < count;) {
      const int64_t at = (begin + done) % row;
      const int64_t some = std::min(count - done, row - at);
      for_vectors(
          d, some, [&](int64_t i) HWY_ATTR { hn::StoreU(load_f32(d, from + at + i), d, out + done + i); },
          [&](int64_t i, size_t n)
              HWY_ATTR { store_tail(d, load_f32_tail(d, from + at + i, n), out + done + i, n); });
      done += some;
    }
  });
}

HWY_INLINE void run_step(graph::PointwiseStep::Kind kind, const float* a, const float* b, float* out,
                         int64_t count) {
  using Kind = graph::PointwiseStep::Kind;
  switch (kind) {
    case Kind::add:
      binary(a, b, out, count, Add());
      break;
    case Kind::mul:
      binary(a, b, out, count, Mul());
      break;
    case Kind::gelu_erf:
      unary(a, out, count, GeluErf());
      break;
    case Kind::gelu_tanh:
      unary(a, out, count, GeluTanh());
      break;
    case Kind::silu:
      unary(a, out, count, Silu());
      break;
  }
}

/// Elements begin … end of the output. Inputs are f32 of the output's shape or trailing parts of it.
void pointwise(const graph::PointwiseOp& op, std::span<const graph::Tensor> inputs, float* out, int64_t begin,
               int64_t end) {
  constexpr int kMaxInputs = graph::PointwiseOp::kMaxInputs;
  constexpr int kMaxSteps = graph::PointwiseOp::kMaxSteps;
  HWY_ALIGN float blocks[(kMaxInputs + kMaxSteps) * kPointwiseBlock];
  std::array<const float*, kMaxInputs + kMaxSteps> values{};
  const std::span<const graph::PointwiseStep> steps = op.steps();
  for (int64_t first = begin; first < end; first += kPointwiseBlock) {
    const int64_t count = std::min(kPointwiseBlock, end - first);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const graph::Tensor& input = inputs[i];
      const int64_t row = input.elements();
      if (input.dtype == DType::f32 && first % row + count <= row) {
        values[i] = input.f32() + first % row;
        continue;
      }
      float* block = blocks + static_cast<int64_t>(i) * kPointwiseBlock;
      decode_block(input, first, count, block);
      values[i] = block;
    }
    for (size_t s = 0; s < steps.size(); ++s) {
      const size_t at = inputs.size() + s;
      const auto b = is_binary(steps[s].kind) ? static_cast<size_t>(steps[s].b) : size_t{0};
      // The last step alone may write over inputs: it is the last to read them.
      float* to = s + 1 == steps.size() ? out + first : blocks + static_cast<int64_t>(at) * kPointwiseBlock;
      run_step(steps[s].kind, values[static_cast<size_t>(steps[s].a)], values[b], to, count);
      values[at] = to;
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(pointwise);

bool supports_pointwise(const backend::KernelQuery& query) {
  return graph::are_trailing_parts(query.inputs, query.output);
}

void launch_pointwise(backend::Backend& backend, const backend::Launch& launch) {
  const auto& op = static_cast<const graph::PointwiseOp&>(*launch.op);
  const int64_t elements = launch.output.elements();
  const auto run = HWY_DYNAMIC_DISPATCH(pointwise);
  parallel_items(pool_of(backend), elements, 1, [&](int64_t begin, int64_t end) {
    run(op, launch.inputs, launch.output.as<float>(), begin, end);
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
