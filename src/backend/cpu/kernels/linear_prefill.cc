// linear for prompt tokens (many rows): bound by multiply-adds, so weights are decoded once per block of rows.
//
// A panel of kPanelVectors x Lanes outputs by kDepth inputs is decoded into f32 and transposed so that inputs run
// along memory; a tile of rows then multiplies it with one broadcast a row and input (Goto and van de Geijn,
// 2008). An output's sum runs over the inputs in order, whatever the tile, so rows do not see each other.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/kernels/linear_prefill.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <atomic>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/dispatch.h"
#include "backend/cpu/kernels/simd.h"
#include "graph/ops/linear.h"

#ifndef INGOT_CPU_LINEAR_PREFILL_SIZES
#define INGOT_CPU_LINEAR_PREFILL_SIZES
namespace ingot::cpu {
constexpr int64_t kDepth = 256;      // inputs of a panel: with 32 outputs 32 KiB, what the first-level cache holds
constexpr int kPanelVectors = 2;     // outputs of a panel, in vectors
constexpr int64_t kPanels = 4;       // panels of a thread's block: rows are read once for all of them

struct PrefillLinear {
  const graph::Tensor& x;       // f32 [rows, in]
  const graph::Tensor& weight;  // [out, in] or [in, out]
  const graph::Tensor* bias;    // [out] or null
  const graph::Tensor& output;  // f32 [rows, out]
  bool out_in;
};
}  // namespace ingot::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace ingot::cpu::HWY_NAMESPACE {

// Rows of a tile: as many accumulators as the registers hold beside the panel's two vectors and a broadcast.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_NEON
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

int64_t panel_outputs() { return static_cast<int64_t>(kPanelVectors * hn::Lanes(F32())); }

/// packed[k * width + n] = weight[(first + n), k0 + k] for n < count, zero for the rest of the panel.
template <typename W>
HWY_INLINE void pack_out_in(const W* weight, int64_t in, int64_t first, int64_t count, int64_t k0, int64_t depth,
                            float* packed, int64_t width) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN float decoded[HWY_MAX_BYTES / 4];
  for (int64_t n = 0; n < width; ++n) {
    if (n >= count) {
      for (int64_t k = 0; k < depth; ++k) packed[k * width + n] = 0;
      continue;
    }
    const W* row = weight + (first + n) * in + k0;
    for (int64_t k = 0; k < depth; k += lanes) {
      const int64_t some = std::min(lanes, depth - k);
      hn::Store(some == lanes ? load_f32(d, row + k) : load_f32_tail(d, row + k, static_cast<size_t>(some)), d,
                decoded);
      for (int64_t i = 0; i < some; ++i) packed[(k + i) * width + n] = decoded[i];
    }
  }
}

/// packed[k * width + n] = weight[k0 + k, first + n].
template <typename W>
HWY_INLINE void pack_in_out(const W* weight, int64_t out, int64_t first, int64_t count, int64_t k0, int64_t depth,
                            float* packed, int64_t width) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < depth; ++k) {
    const W* row = weight + (k0 + k) * out + first;
    for (int64_t n = 0; n < width; n += lanes) {
      const int64_t some = std::clamp<int64_t>(count - n, 0, lanes);
      hn::StoreU(some == lanes ? load_f32(d, row + n) : load_f32_tail(d, row + n, static_cast<size_t>(some)), d,
                 packed + k * width + n);
    }
  }
}

/// A tile of kRows x panel outputs: starts from `out` (or the bias where `first` says so), adds depth products.
template <int kRows>
HWY_INLINE void tile(const float* x, int64_t x_stride, const float* packed, int64_t depth, float* out,
                     int64_t out_stride, const float* bias, bool first, int64_t count) {
  const F32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = kPanelVectors * lanes;
  VecF32 sums[kRows][kPanelVectors];
  const bool whole = count == width;
  HWY_ALIGN float edge[kRows * kPanelVectors * HWY_MAX_BYTES / 4];
  if (first) {
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kPanelVectors; ++v) {
        sums[r][v] = bias != nullptr ? hn::LoadU(d, bias + v * lanes) : hn::Zero(d);
      }
    }
  } else {
    const float* from = out;
    int64_t stride = out_stride;
    if (!whole) {
      for (int r = 0; r < kRows; ++r) {
        for (int64_t n = 0; n < width; ++n) edge[r * width + n] = n < count ? out[r * out_stride + n] : 0.0F;
      }
      from = edge;
      stride = width;
    }
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(2)
      for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = hn::LoadU(d, from + r * stride + v * lanes);
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    VecF32 w[kPanelVectors];
    HWY_UNROLL(2)
    for (int v = 0; v < kPanelVectors; ++v) w[v] = hn::LoadU(d, packed + k * width + v * lanes);
    HWY_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      const auto input = hn::Set(d, x[r * x_stride + k]);
      HWY_UNROLL(2)
      for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = hn::MulAdd(input, w[v], sums[r][v]);
    }
  }
  float* to = whole ? out : edge;
  const int64_t to_stride = whole ? out_stride : width;
  HWY_UNROLL(12)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(2)
    for (int v = 0; v < kPanelVectors; ++v) hn::StoreU(sums[r][v], d, to + r * to_stride + v * lanes);
  }
  if (!whole) {
    for (int r = 0; r < kRows; ++r) {
      for (int64_t n = 0; n < count; ++n) out[r * out_stride + n] = edge[r * width + n];
    }
  }
}

/// Outputs first … first + count (at most kPanels panels) of all rows.
void prefill_block(const PrefillLinear& linear, int64_t first, int64_t count, float* packed) {
  const int64_t rows = linear.x.shape[0];
  const int64_t in = linear.x.shape[1];
  const int64_t out = linear.output.shape[1];
  const int64_t width = panel_outputs();
  const int64_t panels = (count + width - 1) / width;
  HWY_ALIGN float biases[kPanels * kPanelVectors * HWY_MAX_BYTES / 4] = {};
  for (int64_t n = 0; linear.bias != nullptr && n < count; ++n) biases[n] = linear.bias->at(first + n);
  for (int64_t k0 = 0; k0 < in || k0 == 0; k0 += kDepth) {
    const int64_t depth = std::min(kDepth, in - k0);
    with_weight(linear.weight, [&](const auto* w) HWY_ATTR {
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t some = std::min(width, count - p * width);
        float* to = packed + p * kDepth * width;
        if (linear.out_in) {
          pack_out_in(w, in, first + p * width, some, k0, depth, to, width);
        } else {
          pack_in_out(w, out, first + p * width, some, k0, depth, to, width);
        }
      }
    });
    for (int64_t r = 0; r < rows;) {
      const int64_t left = rows - r;
      const int tile_rows = left >= kTileRows ? kTileRows : left >= 4 ? 4 : left >= 2 ? 2 : 1;
      for (int64_t p = 0; p < panels; ++p) {
        const float* x = linear.x.f32() + r * in + k0;
        const float* panel = packed + p * kDepth * width;
        float* to = linear.output.as<float>() + r * out + first + p * width;
        const float* bias = linear.bias != nullptr ? biases + p * width : nullptr;
        const int64_t some = std::min(width, count - p * width);
        const bool start = k0 == 0;
        switch (tile_rows) {
          case kTileRows: tile<kTileRows>(x, in, panel, depth, to, out, bias, start, some); break;
          case 4: tile<4>(x, in, panel, depth, to, out, bias, start, some); break;
          case 2: tile<2>(x, in, panel, depth, to, out, bias, start, some); break;
          default: tile<1>(x, in, panel, depth, to, out, bias, start, some); break;
        }
      }
      r += tile_rows;
    }
  }
}

}  // namespace ingot::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ingot::cpu {
HWY_EXPORT(panel_outputs);
HWY_EXPORT(prefill_block);

size_t linear_prefill_workspace(const backend::Backend& backend, const backend::Launch&) {
  // The panel's width is the chosen target's: only inside its namespace does Highway's vector length mean anything.
  const int64_t floats = kDepth * kPanels * HWY_DYNAMIC_DISPATCH(panel_outputs)();
  return static_cast<size_t>(backend.limits().threads) * static_cast<size_t>(floats) * sizeof(float);
}

void launch_linear_prefill(backend::Backend& backend, const backend::Launch& launch) {
  const PrefillLinear linear{
      .x = launch.inputs[0],
      .weight = launch.inputs[1],
      .bias = launch.inputs.size() == 3 ? &launch.inputs[2] : nullptr,
      .output = launch.output,
      .out_in = static_cast<const graph::LinearOp&>(*launch.op).order() == graph::WeightOrder::out_in};
  const int64_t outputs = launch.output.shape[1];
  if (linear.x.shape[0] == 0 || outputs == 0) return;
  ThreadPool& pool = pool_of(backend);
  // Blocks of a few panels, fewer where that would leave threads without work.
  const int64_t panel = HWY_DYNAMIC_DISPATCH(panel_outputs)();
  const int64_t packed_floats = kDepth * kPanels * panel;
  const int64_t all_panels = (outputs + panel - 1) / panel;
  const int64_t block = panel * std::clamp<int64_t>(all_panels / (4 * pool.threads()), 1, kPanels);
  const int64_t blocks = (outputs + block - 1) / block;
  const auto run_block = HWY_DYNAMIC_DISPATCH(prefill_block);
  std::atomic<int64_t> next{0};
  pool.run([&](int thread) {
    float* packed = reinterpret_cast<float*>(launch.workspace.data()) + thread * packed_floats;
    for (int64_t b = next++; b < blocks; b = next++) {
      run_block(linear, b * block, std::min(block, outputs - b * block), packed);
    }
  });
}

}  // namespace ingot::cpu
#endif  // HWY_ONCE
