// A kernel that traps takes the device from the process: every call says so from then on, and work on the CPU
// goes on with the same bits. In a child process, since there is no way back.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "backend/cuda/cuda_backend.h"
#include "gpu/gpu_test.h"
#include "gpu_cuda/trap.h"
#include "serve/determinism_checks.h"

namespace ingot::serve {
namespace {

/// What the error says, or nothing if there was none.
std::string failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::device_failed) << error.what();
    return error.what();
  }
  return {};
}

/// What the child leaves with once it has checked everything: one that skipped or ran nothing leaves with 0.
constexpr int kAllChecked = 42;

class GpuDeviceLost : public OnGpu<> {};

TEST_F(GpuDeviceLost, ByATrapIsReportedAndSurvivedByTheCpu) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::execl("/proc/self/exe", "test_gpu_cuda", "--gtest_filter=GpuDeviceLost.DISABLED_InThisProcess",
            "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), kAllChecked) << "the child's output is above";
}

/// Run by the test above.
TEST_F(GpuDeviceLost, DISABLED_InThisProcess) {
  const DeterminismWorld world("tests/model/qwen3/tied_bf16");
  const auto cpu = backend::make_backend("cpu", {.threads = 2});
  const auto limits = world.limits(1, world.tokens);
  const std::vector<float> expected = world.logits(*cpu, limits, {world.first});
  Stepper stepper(world.model, gpu(), Head::logits, limits);
  logits_of_first(stepper, {world.first});

  const backend::Kernel trap{
      .op = "trap",
      .name = "trap",
      .supports = nullptr,
      .workspace_bytes = nullptr,
      .launch = [](backend::Backend& backend, const backend::Launch&) { run_trap(cuda::gpu_of(backend)); }};
  const backend::Kernel* kernels[] = {&trap};
  const backend::Launch launches[] = {{}};
  const std::string first = failure_of([&] {
    gpu().submit({.kernels = kernels, .launches = launches});
    gpu().synchronize();
  });
  EXPECT_NE(first, "");
  EXPECT_NE(failure_of([&] { gpu().submit({.kernels = kernels, .launches = launches}); }), "");
  EXPECT_NE(failure_of([&] { gpu().synchronize(); }), "");
  EXPECT_NE(failure_of([&] { static_cast<void>(gpu().allocate(size_t{3} << 20)); }), "");
  float value = 0;
  const PooledBuffer host = cpu->allocate(sizeof(value));
  EXPECT_NE(failure_of([&] { gpu().copy(host.data(), &value, sizeof(value)); }), "");
  EXPECT_NE(failure_of([&] { logits_of_first(stepper, {world.first}); }), "");

  EXPECT_TRUE(same_bits(world.logits(*cpu, limits, {world.first}), expected));
  if (HasFailure()) return;
  std::fflush(nullptr);
  ::_exit(kAllChecked);
}

}  // namespace
}  // namespace ingot::serve
