// Linears of prompts: rows rounded to the weight's type, then products and what follows. Blocks are decoded
// to bf16 first, a run of outputs at a time.
//
// linear_tensor_job.h does what this device and the weights allow. The rest are products of the library:
// where something follows one, it follows a chunk of rows at a time, so that the sums have not left the
// second-level cache and the workspace stays small.
#include <algorithm>
#include <array>
#include <cstddef>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/kernels/block_products.h"
#include "backend/cuda/kernels/linear_choice.h"
#include "backend/cuda/kernels/linear_job.h"
#include "backend/cuda/kernels/linear_tensor_job.h"

namespace ingot::cuda {
namespace {

using backend::Backend;
using backend::Launch;

constexpr int64_t kChunkRows = 1024;                   // whose sums wait for what follows
constexpr int64_t kDecodedValues = int64_t{32} << 20;  // of a weight, at a time: 64 MiB
constexpr int64_t kDecodedOutputs = 128;               // a multiple of it at a time

LinearProduct product_of(const LinearPart& part, int64_t in) {
  return prefill_product(part.dtype, part.is_in_out, in, part.outputs);
}

/// Outputs of a weight in blocks that are decoded at a time.
int64_t decoded_outputs(int64_t in, int64_t outputs) {
  return std::min(outputs,
                  std::max(kDecodedValues / in / kDecodedOutputs * kDecodedOutputs, kDecodedOutputs));
}

struct PrefillRows {
  PrefillRows(const LinearJob& job, const TensorParts& tensor, Workspace& workspace) : prepared(job.rows) {
    RowPreparation& p = prepared;
    bool wants_bf16 = false;
    bool wants_f16 = false;
    int64_t values = tensor.decoded_values();
    for (int i = 0; i < job.part_count; ++i) {
      const LinearPart& part = job.parts[static_cast<size_t>(i)];
      const LinearProduct product = product_of(part, p.in);
      if (product == LinearProduct::decoded) {
        wants_bf16 = true;
        if (!tensor.has(static_cast<size_t>(i)))
          values = std::max(values, p.in * decoded_outputs(p.in, part.outputs));
      }
      if (product == LinearProduct::library && part.dtype == DType::bf16) wants_bf16 = true;
      if (product == LinearProduct::library && part.dtype == DType::f16) wants_f16 = true;
    }
    p.pitch = wants_bf16 || wants_f16 ? prepared_pitch(p.in) : 0;
    if (wants_bf16) p.bf16 = workspace.take<uint16_t>(p.rows * p.pitch);
    if (wants_f16) p.f16 = workspace.take<uint16_t>(p.rows * p.pitch);
    if (wants_f16) p.f16_scales = workspace.take<float>(p.rows);
    decoded = workspace.take<uint16_t>(values);
    // Plain products take f32, and they also do what the library refuses.
    bool is_all_tensor = true;
    for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) is_all_tensor &= tensor.has(i);
    if (p.norm != LinearNorm::none && !is_all_tensor) normalised = workspace.take<float>(p.rows * p.in);
  }

  RowPreparation prepared;
  uint16_t* decoded = nullptr;  // a run of outputs of a weight
  float* normalised = nullptr;  // [rows, in]; none where there is no norm
};

/// A part's product and where its sums go.
struct PartProduct {
  LinearProduct product = LinearProduct::plain;
  DType dtype = DType::f32;  // that the library multiplies
  float* sums = nullptr;     // [chunk of rows, outputs]
};

/// Whether its sums are still to be multiplied with the scales of their rows.
bool needs_scales(const PartProduct& product) {
  return product.product == LinearProduct::library && product.dtype == DType::f16;
}

MatrixProduct matrix_product(const LinearPart& part, const PartProduct& product, const PrefillRows& rows,
                             int64_t first, int64_t count) {
  const RowPreparation& p = rows.prepared;
  MatrixProduct matrix{.weight = part.weight,
                       .dtype = product.dtype,
                       .is_in_out = part.is_in_out,
                       .rows = count,
                       .in = p.in,
                       .out = part.outputs,
                       .x_stride = p.pitch,
                       .sums = product.sums,
                       .stride = part.outputs};
  if (product.dtype == DType::f32) {
    matrix.x = (rows.normalised == nullptr ? p.x : rows.normalised) + first * p.in;
    matrix.x_stride = p.in;
  } else {
    matrix.x = static_cast<const uint16_t*>(product.dtype == DType::bf16 ? p.bf16 : p.f16) + first * p.pitch;
  }
  return matrix;
}

/// Calls f(product, first output) for the library's products of a part: several where it is decoded.
template <class F>
void for_products(const LinearPart& part, const MatrixProduct& all, bool is_decoded, uint16_t* decoded,
                  const F& f) {
  if (!is_decoded) return f(all, int64_t{0});
  const int64_t most = decoded_outputs(all.in, part.outputs);
  for (int64_t first = 0; first < part.outputs; first += most) {
    MatrixProduct some = all;
    some.weight = decoded;
    some.out = std::min(most, part.outputs - first);
    some.sums = all.sums + first;
    if (all.add != nullptr) some.add = all.add + first;
    f(some, first);
  }
}

/// The product of rows first … first + count, with `add` where it is given.
void run_product(CudaBackend& cuda, const LinearPart& part, const PartProduct& product,
                 const PrefillRows& rows, int64_t first, int64_t count, const float* add) {
  const RowPreparation& p = rows.prepared;
  if (product.product == LinearProduct::plain) {
    run_plain_product(cuda.gpu(), {.x = (rows.normalised == nullptr ? p.x : rows.normalised) + first * p.in,
                                   .weight = part.weight,
                                   .dtype = part.dtype,
                                   .is_in_out = part.is_in_out,
                                   .rows = count,
                                   .in = p.in,
                                   .out = part.outputs,
                                   .sums = product.sums,
                                   .stride = part.outputs});
    return;
  }
  MatrixProduct matrix = matrix_product(part, product, rows, first, count);
  matrix.add = add;
  const bool is_decoded = product.product == LinearProduct::decoded;
  for_products(part, matrix, is_decoded, rows.decoded, [&](const MatrixProduct& some, int64_t output) {
    if (is_decoded) {
      run_decode(cuda.gpu(), {.weight = part.weight,
                              .dtype = part.dtype,
                              .begin = output * p.in,
                              .count = some.out * p.in,
                              .values = rows.decoded});
    }
    cuda.cublaslt().multiply(some, cuda.gpu().stream);
  });
}

}  // namespace

void run_prefill_job(Backend* backend, const LinearJob& job, Workspace& workspace) {
  const TensorParts tensor(job);
  PrefillRows rows(job, tensor, workspace);
  const int64_t chunk = std::min(job.rows.rows, kChunkRows);
  std::array<PartProduct, kMostLinearParts> products = {};
  std::array<float*, kMostLinearParts> waiting = {};  // sums of a chunk; none: they are in the output
  for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
    const LinearPart& part = job.parts[i];
    products[i].product = product_of(part, job.rows.in);
    products[i].dtype = products[i].product == LinearProduct::decoded ? DType::bf16 : part.dtype;
    if (!tensor.has(i) && (job.has_residual || static_cast<int>(i) >= job.output_count()))
      waiting[i] = workspace.take<float>(chunk * part.outputs);
  }
  if (backend == nullptr || job.rows.rows == 0) return;

  CudaBackend& cuda = cuda_of(*backend);
  const Gpu& gpu = cuda.gpu();
  bool wants_f32 = false;
  bool wants_16_bits = false;
  for (size_t i = 0; i < static_cast<size_t>(job.part_count); ++i) {
    const LinearPart& part = job.parts[i];
    PartProduct& product = products[i];
    if (part.outputs == 0) continue;
    if (product.product != LinearProduct::plain && !tensor.has(i)) {
      const MatrixProduct matrix = matrix_product(part, product, rows, 0, chunk);
      bool is_supported = true;
      for_products(part, matrix, product.product == LinearProduct::decoded, rows.decoded,
                   [&](const MatrixProduct& some, int64_t) {
                     is_supported = is_supported && cuda.cublaslt().supports(some);
                   });
      if (!is_supported) product.product = LinearProduct::plain;
    }
    const bool takes_f32 = product.product == LinearProduct::plain || product.dtype == DType::f32;
    (takes_f32 ? wants_f32 : wants_16_bits) = true;
  }
  if (wants_f32) rows.prepared.f32 = rows.normalised;
  if (wants_16_bits || rows.prepared.f32 != nullptr) run_row_preparation(gpu, rows.prepared);
  tensor.run(gpu, rows.prepared, rows.decoded);

  for (size_t i = 0; i < static_cast<size_t>(job.output_count()); ++i) {
    const LinearPart& part = job.parts[i];
    if (part.outputs == 0 || tensor.has(i)) continue;
    const bool has_residual_alone = job.has_residual && products[i].product != LinearProduct::plain;
    if (!job.has_epilogue(part) && !needs_scales(products[i]) && (!job.has_residual || has_residual_alone)) {
      products[i].sums = part.output;
      run_product(cuda, part, products[i], rows, 0, job.rows.rows, job.epilogue.residual);
      continue;
    }
    for (int64_t first = 0; first < job.rows.rows; first += chunk) {
      const int64_t count = std::min(chunk, job.rows.rows - first);
      const int64_t at = first * part.outputs;
      products[i].sums = waiting[i] != nullptr ? waiting[i] : part.output + at;
      run_product(cuda, part, products[i], rows, first, count, nullptr);
      LinearSums finish{.sums = products[i].sums,
                        .row_scales = needs_scales(products[i]) ? rows.prepared.f16_scales + first : nullptr,
                        .bias = part.bias,
                        .epilogue = job.epilogue,
                        .rows = count,
                        .out = part.outputs,
                        .stride = part.outputs,
                        .output = part.output + at};
      if (job.has_residual) finish.epilogue.residual += at;
      if (job.epilogue.adds_rows)
        finish.epilogue.add.data = static_cast<const float*>(job.epilogue.add.data) + at;
      if (job.epilogue.gated) {
        products[1].sums = waiting[1];
        run_product(cuda, job.parts[1], products[1], rows, first, count, nullptr);
        finish.up_sums = products[1].sums;
        finish.up_row_scales = needs_scales(products[1]) ? rows.prepared.f16_scales + first : nullptr;
        finish.up_bias = job.parts[1].bias;
        finish.up_stride = part.outputs;
      }
      run_linear_epilogue(gpu, finish);
    }
  }
  if (job.heads != nullptr) run_linear_heads(gpu, *job.heads);
}

size_t linear_prefill_workspace(const Backend& /*backend*/, const Launch& launch) {
  Workspace workspace(nullptr);
  run_prefill_job(nullptr, linear_job(launch), workspace);
  return workspace.bytes();
}

void launch_linear_prefill(Backend& backend, const Launch& launch) {
  Workspace workspace(launch.workspace.data());
  run_prefill_job(&backend, linear_job(launch), workspace);
}

}  // namespace ingot::cuda
