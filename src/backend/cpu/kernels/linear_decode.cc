// linear and its fused forms for generated tokens (few rows): one parallel loop over the outputs of all
// parts.
//
// What follows the products (+ b, activation, * up, + residual) works on a block of them while it is in the
// first-level cache, by the vector functions of the unfused ops, in their order: the same bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_decode.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include <array>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/activations-inl.h"
#include "backend/cpu/kernels/decode_products-inl.h"
#include "backend/cpu/kernels/decode_rows.h"
#include "graph/ops/linear_fused.h"

#ifndef INGOT_CPU_LINEAR_DECODE_TYPES
#define INGOT_CPU_LINEAR_DECODE_TYPES
namespace ingot::cpu {

constexpr size_t kMaxParts = graph::LinearForm::kMaxParts;
constexpr int64_t kBlock = 64;         // outputs at a time: four AVX-512 vectors of columns
constexpr int64_t kUnit = 16;          // outputs that threads share out: a cache line
constexpr int64_t kEpilogueRows = 32;  // rows whose products wait for the epilogue at a time, at most
constexpr int64_t kWaiting = kEpilogueRows * kBlock;  // products that wait: 8 KiB

/// A launch of one linear, fused or not.
struct DecodeLinear {
  DecodeRows x{};
  size_t part_count = 1;
  std::array<LinearPart, kMaxParts> parts{};
  std::array<float*, kMaxParts> outputs{};  // f32 [rows, out] of each part; gated: of the first
  const graph::Tensor* add = nullptr;       // [out], or [rows, out]
  graph::Activation activation = graph::Activation::none;
  bool gated = false;
  const float* residual = nullptr;  // f32 [rows, out]

  bool has_epilogue() const {
    return add != nullptr || activation != graph::Activation::none || gated || residual != nullptr;
  }
};

}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

/// y[0 … count) = activation(y)
HWY_INLINE void activate(graph::Activation activation, float* y, int64_t count) {
  switch (activation) {
    case graph::Activation::none:
      return;
    case graph::Activation::gelu_erf:
      return unary(y, y, count, GeluErf());
    case graph::Activation::gelu_tanh:
      return unary(y, y, count, GeluTanh());
    case graph::Activation::silu:
      return unary(y, y, count, Silu());
  }
}

/// Everything after the products, for outputs n … n + count of one row.
HWY_INLINE void epilogue(const DecodeLinear& linear, int64_t row, int64_t n, int64_t count, float* y,
                         const float* up) {
  const int64_t at = row * linear.parts[0].outputs() + n;
  if (linear.add != nullptr) {
    with_weight(*linear.add, [&](const auto* b) HWY_ATTR {
      binary(y, b + (linear.add->shape.rank() == 2 ? at : n), y, count, Add());
    });
  }
  activate(linear.activation, y, count);
  if (linear.gated) binary(y, up, y, count, Mul());
  float* out = linear.outputs[0] + at;
  if (linear.residual != nullptr) {
    binary(linear.residual + at, y, out, count, Add());
  } else {
    std::memcpy(out, y, static_cast<size_t>(count) * sizeof(float));
  }
}

/// Outputs begin … end of a part; of a gated pair, of both. `next`: what the thread will probably read then.
void linear_outputs(const DecodeLinear& linear, size_t part, int64_t begin, int64_t end, const void* next) {
  const int64_t stride = linear.parts[part].outputs();
  if (!linear.has_epilogue()) {
    decode_products(linear.x, linear.parts[part], begin, end, linear.outputs[part] + begin, stride, next);
    return;
  }
  HWY_ALIGN float sums[kWaiting];
  HWY_ALIGN float ups[kWaiting];
  // As many outputs as have room, so that the stream of weights changes seldom between gate and up.
  const int64_t some_rows = std::min(kEpilogueRows, linear.x.rows);
  const int64_t block = kWaiting / some_rows / kBlock * kBlock;
  for (int64_t n = begin; n < end; n += block) {
    const int64_t block_end = std::min(n + block, end);
    for (int64_t row = 0; row < linear.x.rows; row += some_rows) {
      const DecodeRows rows = linear.x.some(row, std::min(some_rows, linear.x.rows - row));
      const void* after = block_end < end ? linear.parts[0].row(block_end) : next;
      const void* up = linear.gated ? linear.parts[1].row(n) : after;
      decode_products(rows, linear.parts[0], n, block_end, sums, block, up);
      if (linear.gated) decode_products(rows, linear.parts[1], n, block_end, ups, block, after);
      for (int64_t r = 0; r < rows.rows; ++r)
        epilogue(linear, row + r, n, block_end - n, sums + r * block, ups + r * block);
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(linear_outputs);

namespace {

int64_t units_of(int64_t outputs, int64_t unit) {
  return (outputs + unit - 1) / unit;
}

/// Chunks of even size: a whole number for each thread, up to eight, so that a slow core does not hold up the
/// others, of 64 KiB of weights or more, so that the stream is seldom broken. A thread that has less to do
/// than to read 16 KiB once is not worth its wake-up.
int64_t chunks_of(int64_t weight_bytes, int64_t rows, int threads) {
  constexpr int64_t kChunkBytes = int64_t{64} << 10;
  constexpr int64_t kLeastBytes = int64_t{16} << 10;
  const int64_t a_thread = std::clamp<int64_t>(weight_bytes / (threads * kChunkBytes), 1, 8);
  return std::clamp<int64_t>(weight_bytes * rows / kLeastBytes, 1, a_thread * threads);
}

/// How a launch's outputs are cut into chunks.
struct Chunks {
  Chunks(const DecodeLinear& linear, int threads)
      : linear(linear), shared(linear.gated ? 1 : linear.part_count) {
    int64_t bytes = 0;
    for (size_t i = 0; i < linear.part_count; ++i) {
      bytes += static_cast<int64_t>(linear.parts[i].weight->bytes());
      if (!linear.parts[i].out_in) unit = kBlock;
    }
    for (size_t i = 0; i < shared; ++i) units += units_of(linear.parts[i].outputs(), unit);
    count = std::min(units, chunks_of(bytes, linear.x.rows, threads));
  }
  int64_t begin(int64_t chunk) const { return chunk * units / count; }  // in units

  /// Where a chunk's weights begin; null beyond the last.
  const void* weights(int64_t chunk) const {
    if (chunk >= count) return nullptr;
    int64_t first = begin(chunk);
    for (size_t i = 0; i < shared; ++i) {
      const int64_t part_units = units_of(linear.parts[i].outputs(), unit);
      if (first < part_units) return linear.parts[i].row(first * unit);
      first -= part_units;
    }
    return nullptr;
  }

  const DecodeLinear& linear;
  size_t shared;         // parts whose outputs are shared out
  int64_t unit = kUnit;  // outputs
  int64_t units = 0;
  int64_t count = 0;
};

void run(backend::Backend& backend, const DecodeLinear& linear) {
  if (linear.x.rows == 0) return;
  ThreadPool& pool = pool_of(backend);
  const Chunks chunks(linear, pool.threads());
  const auto outputs = HWY_DYNAMIC_DISPATCH(linear_outputs);
  const auto run_chunk = [&](int64_t chunk, int64_t /*end*/) {
    const int64_t begin = chunks.begin(chunk);
    const int64_t end = chunks.begin(chunk + 1);
    const void* next = chunks.weights(chunk + pool.threads());  // threads take turns, more or less
    // A chunk may take the end of one part and the beginning of the next.
    int64_t first = 0;
    for (size_t i = 0; i < chunks.shared && first < end; ++i) {
      const int64_t all = linear.parts[i].outputs();
      const int64_t count = units_of(all, chunks.unit);
      const int64_t from = std::max(begin - first, int64_t{0});
      const int64_t to = std::min(end - first, count);
      if (from < to) outputs(linear, i, from * chunks.unit, std::min(to * chunks.unit, all), next);
      first += count;
    }
  };
  pool.parallel_for(chunks.count, 1, run_chunk, [&](int thread) { prefetch_next_weights(backend, thread); });
}

/// The launch of a plain linear, but for the bytes of its rows.
DecodeLinear plain_linear(const backend::Launch& launch) {
  const graph::Tensor& x = launch.inputs[0];
  DecodeLinear linear{.x = {.data = x.f32(), .rows = x.shape[0], .in = x.shape[1]}};
  linear.parts[0] = {
      .weight = &launch.inputs[1],
      .bias = launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
      .out_in = static_cast<const graph::LinearOp&>(*launch.op).order() == graph::WeightOrder::out_in};
  linear.outputs[0] = launch.output.as<float>();
  return linear;
}

/// The launch of a fused one, but for its rows, which are prepared.
DecodeLinear fused_linear(const backend::Launch& launch) {
  const auto& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  const auto input = [&](int index) { return &launch.inputs[static_cast<size_t>(index)]; };
  const graph::Tensor& x = launch.inputs[0];
  DecodeLinear linear{.x = {.data = x.f32(), .rows = x.shape[0], .in = x.shape[1]},
                      .part_count = form.parts.size(),
                      .activation = form.activation,
                      .gated = form.gated};
  for (size_t i = 0; i < form.parts.size(); ++i) {
    linear.parts[i] = {.weight = input(form.weight_input(i)),
                       .bias = form.parts[i].has_bias ? input(form.bias_input(i)) : nullptr,
                       .out_in = form.parts[i].order == graph::WeightOrder::out_in};
    if (i > 0 && form.gated) continue;
    linear.outputs[i] = (i == 0 ? launch.output : launch.results[i - 1]).as<float>();
  }
  if (form.add) linear.add = input(form.add_input());
  if (form.residual) linear.residual = input(form.residual_input())->f32();
  return linear;
}

}  // namespace

size_t linear_decode_workspace(const backend::Backend& /*backend*/, const backend::Launch& launch) {
  return prepared_bytes({}, launch.inputs[0], has_blocks(launch.inputs));
}

size_t fused_decode_workspace(const backend::Backend& /*backend*/, const backend::Launch& launch) {
  const auto& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  return prepared_bytes(form.norm, launch.inputs[0], has_blocks(launch.inputs));
}

void launch_linear_decode(backend::Backend& backend, const backend::Launch& launch) {
  DecodeLinear linear = plain_linear(launch);
  linear.x =
      prepared_rows(pool_of(backend), {}, launch.inputs, has_blocks(launch.inputs), launch.workspace.data());
  run(backend, linear);
}

void launch_fused_decode(backend::Backend& backend, const backend::Launch& launch) {
  const auto& form = static_cast<const graph::FusedLinearOp&>(*launch.op).form();
  DecodeLinear linear = fused_linear(launch);
  linear.x = prepared_rows(pool_of(backend), form.norm, launch.inputs, has_blocks(launch.inputs),
                           launch.workspace.data());
  run(backend, linear);
}

const void* linear_first_weights(const backend::Backend& backend, const backend::Launch& launch, int thread) {
  const DecodeLinear linear = plain_linear(launch);
  return Chunks(linear, threads_of(backend)).weights(thread);
}

const void* fused_first_weights(const backend::Backend& backend, const backend::Launch& launch, int thread) {
  const DecodeLinear linear = fused_linear(launch);
  return Chunks(linear, threads_of(backend)).weights(thread);
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
