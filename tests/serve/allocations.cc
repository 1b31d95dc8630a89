// A step allocates nothing on the heap: this program counts every allocation of every thread.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "exec/far_backend.h"
#include "serve/engine.h"
#include "serve/sequences.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INGOT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INGOT_SANITIZED 1
#endif
#endif

namespace {
std::atomic<int64_t> allocations{0};
}

#ifndef INGOT_SANITIZED
// malloc itself, so that C code counts too; glibc keeps its own under these names. operator new calls malloc.
// A sanitizer brings its own malloc, and a hook.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* data, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
// NOLINTEND(bugprone-reserved-identifier)

void* malloc(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, bytes);
}
void* realloc(void* data, size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(data, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** data, size_t alignment, size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  *data = __libc_memalign(alignment, bytes);
  return *data == nullptr ? 12 : 0;  // ENOMEM
}
}
#else
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                                         void (*on_free)(const volatile void*));
namespace {
const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { allocations.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});
}
#endif

namespace ingot::serve {
namespace {

/// Allocations of all threads since it was made.
class Count {
 public:
  int64_t get() const { return allocations.load() - start_; }

 private:
  int64_t start_ = allocations.load();
};

TEST(AllocationCounter, SeesNewMallocAndTheLibrary) {
  const Count count;
  // Volatile, or the compiler may leave the pair out.
  int* volatile one = new int(1);
  delete one;
  EXPECT_EQ(count.get(), 1);
  const Array array = Array::zeros(DType::f32, {100});
  EXPECT_GT(count.get(), 1);
  const Count c;
  void* volatile block = std::malloc(10);
  std::free(block);
  EXPECT_EQ(c.get(), 1);
}

class Allocations : public testing::TestWithParam<std::string> {
 protected:
  /// GPT-2's tiny checkpoint has 64 positions; the others decode 83 tokens.
  static int64_t context(const model::Model& model) {
    return std::min<int64_t>(112, model.dimensions().max_positions);
  }
};

TEST_P(Allocations, NoneWhileDecodingAcrossPagesWithPenaltiesAndThreeSequences) {
  const auto model = load_model(checkpoint(GetParam()));
  const auto backend = backend::make_backend("cpu", {.threads = 3});
  Engine engine(model, *backend,
                {.sequences = 3,
                 .context = context(*model),
                 .prefill_tokens = 16,
                 .cache_tokens = 0,
                 .prefill_rows = 0});
  const int64_t vocab = model->dimensions().vocab;
  for (uint32_t i = 0; i < 3; ++i) {
    Request request;
    request.prompt = random_tokens(i, 5 + i * 11, vocab);
    if (i > 0) {
      request.sampling = {.temperature = 0.8F,
                          .top_p = 0.9F,
                          .min_p = 0.01F,
                          .repetition_penalty = 1.2F,
                          .frequency_penalty = 0.1F,
                          .presence_penalty = 0.1F,
                          .top_k = i == 1 ? 20 : 0,
                          .seed = i};
    }
    engine.add(std::move(request));
  }
  while (engine.prefill_waits()) engine.step();
  const int64_t decode_steps = context(*model) - 29;  // all three sequences go on
  int64_t steps = 0;
  const Count count;
  for (; steps < decode_steps; ++steps) engine.step();  // each crosses two pages' ends, or one
  const int64_t found = count.get();
  EXPECT_EQ(found, 0) << "in " << steps << " decode steps";
  EXPECT_FALSE(engine.idle());
}

TEST_P(Allocations, NoneWhilePrefilling) {
  const auto model = load_model(checkpoint(GetParam()));
  const auto backend = backend::make_backend("cpu", {.threads = 3});
  Engine engine(model, *backend,
                {.sequences = 2,
                 .context = context(*model),
                 .prefill_tokens = 16,
                 .cache_tokens = 0,
                 .prefill_rows = 0});
  for (uint32_t i = 0; i < 2; ++i) {
    Request request;
    request.prompt = random_tokens(i, 60, model->dimensions().vocab);
    engine.add(std::move(request));
  }
  engine.step();  // by its end every thread has started, which may allocate
  const Count count;
  while (engine.prefill_waits()) engine.step();
  const int64_t found = count.get();
  EXPECT_EQ(found, 0);
}

TEST_P(Allocations, NoneWhileDecodingAcrossTwoMemories) {
  const auto model = load_model(checkpoint(GetParam()));
  cpu::CpuBackend cpu(1);
  exec::FarBackend far("far");
  const std::vector<exec::Device> devices{{.backend = &cpu, .name = "cpu"}, {.backend = &far, .name = "far"}};
  CompileOptions options;
  options.layers = {{.first = 1, .last = 1000, .device = "far"}};
  Engine engine(model, devices,
                {.sequences = 1, .context = 60, .prefill_tokens = 16, .cache_tokens = 0, .prefill_rows = 0},
                options);
  Request request;
  request.prompt = random_tokens(1, 5, model->dimensions().vocab);
  engine.add(std::move(request));
  engine.step();
  engine.step();
  const Count count;
  for (int i = 0; i < 40; ++i) engine.step();  // across a page's end
  const int64_t found = count.get();
  EXPECT_EQ(found, 0);
  EXPECT_GT(engine.stepper().statistics().transfers, 40U);
  EXPECT_FALSE(engine.idle());
}

INSTANTIATE_TEST_SUITE_P(Architectures, Allocations,
                         testing::Values("gpt2/published", "llama/mistral", "qwen2/tied", "qwen3/tied_bf16"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace ingot::serve
