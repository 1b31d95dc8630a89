// Memory that runs out at every allocation there is, while a model loads and while it runs: an error each
// time, nothing kept, and success on the same device afterwards.
#include <atomic>

#include "backend/cuda/cuda_backend.h"
#include "gpu/gpu_test.h"
#include "serve/determinism_checks.h"

namespace ingot::serve {
namespace {

/// Refuses every allocation from the given one on, while it is on.
struct Refusal {
  std::atomic<bool> is_on = true;
  std::atomic<int64_t> asked = 0;
  int64_t from = 0;
};

class GpuOutOfMemory : public OnGpu<testing::TestWithParam<std::string>> {
 protected:
  const DeterminismWorld world_{GetParam()};
  /// Loads the model and draws tokens for three requests.
  std::map<uint64_t, std::vector<int32_t>> generate(backend::Backend& backend) const {
    return world_.sampled(backend, 16, {1, 2, 3});
  }
};

TEST_P(GpuOutOfMemory, AtEveryAllocationIsAnErrorThatKeepsNothing) {
  const auto expected = generate(gpu());
  int64_t refused = 0;
  for (int64_t from = 0;; ++from) {
    ASSERT_LT(from, 2000);
    SCOPED_TRACE("allocation " + std::to_string(from));
    const auto refusal = std::make_shared<Refusal>();
    refusal->from = from;
    cuda::CudaOptions options;
    options.refuse_allocation = [refusal](size_t) {
      return refusal->is_on && refusal->asked++ >= refusal->from;
    };
    std::unique_ptr<cuda::CudaBackend> backend;
    try {
      backend = std::make_unique<cuda::CudaBackend>(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
      ++refused;
      continue;
    }
    const size_t before = backend->pool_statistics().in_use_bytes;
    bool has_failed = false;
    try {
      EXPECT_EQ(generate(*backend), expected);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
      has_failed = true;
      ++refused;
    }
    EXPECT_EQ(backend->pool_statistics().in_use_bytes, before);
    if (!has_failed) break;  // there was no such allocation
    refusal->is_on = false;
    EXPECT_EQ(generate(*backend), expected);
    EXPECT_EQ(backend->pool_statistics().in_use_bytes, before);
  }
  EXPECT_GT(refused, 5) << "of weights, cache, activations, staging";
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GpuOutOfMemory,
                         testing::Values("tests/model/qwen3/tied_bf16", "tests/model/gpt2/published"),
                         checkpoint_word);

}  // namespace
}  // namespace ingot::serve
