// sample: one token id a row of logits, as graph/ops/sampler.h defines it. What a row does follows from
// parameters that lie on the device; what is launched does not.
#pragma once

#include "backend/cuda/kernels/gpu.h"

namespace ingot::cuda {

struct Sample {
  // Columns of `floats` and `ints`.
  enum Float { kTemperature, kTopP, kMinP, kRepetitionPenalty, kFrequencyPenalty, kPresencePenalty, kFloats };
  enum Int { kTopK, kSeedLow, kSeedHigh, kPosition, kCountsRow, kInts };

  const float* logits = nullptr;    // [rows, vocab]
  const float* floats = nullptr;    // [rows, kFloats]
  const int32_t* ints = nullptr;    // [rows, kInts]
  const int32_t* counts = nullptr;  // [counts_rows, vocab]
  int64_t counts_rows = 0;
  int64_t rows = 0;
  int vocab = 0;
  void* workspace = nullptr;  // sample_workspace_bytes()
  int32_t* ids = nullptr;     // [rows]
};
void run_sample(const Gpu& gpu, const Sample& sample);

size_t sample_workspace_bytes(int64_t rows, int64_t vocab);

}  // namespace ingot::cuda
