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

struct Best;
struct RowSums;

/// For the kernel that writes the one row of logits: it finds the highest of each of its blocks as
/// SampleRow penalises them, so that nobody need read them all again for that.
struct LogitsWatch {
  Sample sample;
  Best* bests = nullptr;    // [count], a block of the kernel each; null: nobody wants them
  RowSums* sums = nullptr;  // [1], which it clears
  int count = 0;
};
/// Behind that kernel.
void run_watched_sample(const Gpu& gpu, const LogitsWatch& watch);

/// What bests and sums take.
size_t logits_watch_bytes(int count);
LogitsWatch logits_watch_in(void* memory, int count);

size_t sample_workspace_bytes(int64_t rows, int64_t vocab);

}  // namespace ingot::cuda
