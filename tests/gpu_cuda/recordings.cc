// Decode steps of the same size are captured once and replayed from then on.
#include "backend/cuda/cuda_backend.h"
#include "gpu/gpu_test.h"
#include "serve/engine.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

class GpuRecordings : public OnGpu<> {};

TEST_F(GpuRecordings, GeneratedTokensAreReplaysOfAFewCapturedSteps) {
  const auto model = load_model(checkpoint("qwen3/tied_bf16"));
  Engine engine(model, gpu(),
                {.sequences = 1, .context = 60, .prefill_tokens = 16, .cache_tokens = 0, .prefill_rows = 0});
  engine.add({.prompt = random_tokens(1, 5, model->dimensions().vocab),
              .sampling = {},
              .max_tokens = 40,
              .eos_tokens = {}});
  while (!engine.idle()) engine.step();
  const cuda::RecordingStatistics statistics = static_cast<cuda::CudaBackend&>(gpu()).recording_statistics();
  // The prompt and the first of each frame's steps go launch by launch; then each frame's is captured.
  EXPECT_LE(statistics.captured, 3U);
  EXPECT_GE(statistics.replayed, 30U);
  EXPECT_LE(statistics.direct, 6U);
}

}  // namespace
}  // namespace ingot::serve
