#include "backend/cuda/kernels/pointwise.h"

#include "backend/cuda/kernels/activations.cuh"
#include "backend/cuda/kernels/elementwise.cuh"

namespace ingot::cuda {
namespace {

using Chain = PointwiseChain;

/// Each thread has four values of every slot in shared memory, which it alone reads: no barriers.
constexpr int kThreads = 128;
constexpr int kMaxSlots = Chain::kMaxInputs + Chain::kMaxSteps;
static_assert(kMaxSlots * kThreads * sizeof(Values<kVector>) <= 48 << 10);

__device__ Values<kVector> load_input(const Chain::Input& input, int64_t first, int count, int64_t elements) {
  const bool repeats = input.elements != elements;
  const int64_t column = repeats ? column_of(first, input.elements, elements) : first;
  if (count == kVector && (!repeats || input.elements % kVector == 0))
    return load_values<kVector>(input.dtype, input.data, column);
  return load_wrapped(column, input.elements, count,
                      [&](int64_t i) { return load_values<1>(input.dtype, input.data, i).at[0]; });
}

__device__ Values<kVector> apply(Chain::Kind kind, const Values<kVector>& a, const Values<kVector>& b) {
  Values<kVector> y{};
  const auto each = [&](auto f) {
#pragma unroll
    for (int i = 0; i < kVector; ++i) y.at[i] = f(a.at[i], b.at[i]);
  };
  switch (kind) {  // all threads take the same way
    case Chain::Kind::add:
      each([](float u, float v) { return __fadd_rn(u, v); });
      break;
    case Chain::Kind::mul:
      each([](float u, float v) { return __fmul_rn(u, v); });
      break;
    case Chain::Kind::gelu_erf:
      each([](float u, float) { return gelu_erf(u); });
      break;
    case Chain::Kind::gelu_tanh:
      each([](float u, float) { return gelu_tanh(u); });
      break;
    case Chain::Kind::silu:
      each([](float u, float) { return silu(u); });
      break;
  }
  return y;
}

/// kInputs: at least as many as the chain has; all are on their way before the first is used.
template <int kInputs>
__global__ void __launch_bounds__(kThreads) pointwise_kernel(const __grid_constant__ Chain chain) {
  extern __shared__ float4 slots[];  // [slots, kThreads]
  const int64_t first = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kVector;
  if (first >= chain.elements) return;
  const int count = static_cast<int>(min(int64_t{kVector}, chain.elements - first));
  auto* own = reinterpret_cast<Values<kVector>*>(slots) + threadIdx.x;

  Values<kVector> inputs[kInputs];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
    if (i < chain.input_count) inputs[i] = load_input(chain.inputs[i], first, count, chain.elements);
  }
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
    if (i < chain.input_count) store_values<kVector>(own[i * kThreads].at, inputs[i]);
  }

  Values<kVector> before{};
  for (int s = 0; s < chain.step_count; ++s) {
    const Chain::Step step = chain.steps[s];
    const auto operand = [&](int slot) {
      return slot < 0 ? before : load_values<kVector>(own[slot * kThreads].at);
    };
    before = apply(step.kind, operand(step.a), operand(step.b));
    if (step.slot >= 0) store_values<kVector>(own[step.slot * kThreads].at, before);
  }

  if (count == kVector) {
    store_values<kVector>(chain.out + first, before);
    return;
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    if (i < count) chain.out[first + i] = before.at[i];
  }
}

template <int kInputs>
void launch(const Gpu& gpu, const Chain& chain) {
  const auto blocks = static_cast<unsigned>(divide_up(chain.elements, kThreads * kVector));
  const size_t bytes = static_cast<size_t>(chain.slots) * kThreads * sizeof(Values<kVector>);
  pointwise_kernel<kInputs><<<blocks, kThreads, bytes, gpu.stream>>>(chain);
}

}  // namespace

void run_pointwise(const Gpu& gpu, const PointwiseChain& chain) {
  if (chain.elements == 0) return;
  if (chain.input_count <= 2) {
    launch<2>(gpu, chain);
  } else if (chain.input_count <= 4) {
    launch<4>(gpu, chain);
  } else {
    launch<Chain::kMaxInputs>(gpu, chain);
  }
}

}  // namespace ingot::cuda
