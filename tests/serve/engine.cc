// The engine's rules: how requests end, what is refused, and that pages come back.
#include "serve/engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include "ingot/error.h"
#include "serve/sequences.h"

namespace ingot::serve {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kContext = 40;

Error error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::internal, "no error"};
}

class EngineRules : public testing::Test {
 protected:
  int64_t vocab() const { return model_->dimensions().vocab; }
  Request request(int64_t prompt, int64_t max_tokens = 0) const {
    return {.prompt = random_tokens(3, prompt, vocab()),
            .sampling = {},
            .max_tokens = max_tokens,
            .eos_tokens = {}};
  }
  /// Runs until all have finished and returns what one sequence got.
  std::vector<Delivery> run(int64_t sequence) {
    std::vector<Delivery> got;
    while (!engine_.idle()) {
      for (const Delivery& delivery : engine_.step()) {
        if (delivery.sequence == sequence) got.push_back(delivery);
      }
    }
    return got;
  }
  static void expect_finish(const std::vector<Delivery>& got, size_t count, FinishReason finish) {
    ASSERT_EQ(got.size(), count);
    for (size_t i = 0; i + 1 < got.size(); ++i) EXPECT_EQ(got[i].finish, FinishReason::none);
    EXPECT_EQ(got.back().finish, finish);
  }

  std::shared_ptr<const model::Model> model_ = load_model(checkpoint("llama/llama2"));
  std::unique_ptr<backend::Backend> backend_ = backend::make_backend("cpu", {.threads = 2});
  Engine engine_{
      model_,
      *backend_,
      {.sequences = 2, .context = kContext, .prefill_tokens = 8, .cache_tokens = 0, .prefill_rows = 0}};
};

TEST_F(EngineRules, ARequestEndsAtItsLength) {
  expect_finish(run(engine_.add(request(5, 7))), 7, FinishReason::length);
  expect_finish(run(engine_.add(request(5, 1))), 1, FinishReason::length);
}

TEST_F(EngineRules, ARequestEndsAtAnEosTokenWhichIsDelivered) {
  const std::vector<Delivery> all = run(engine_.add(request(5, 12)));
  engine_.remove(all[0].sequence);
  Request r = request(5, 12);
  const int32_t eos = all[4].token;
  size_t first = 0;
  while (all[first].token != eos) ++first;
  r.eos_tokens = {-1, eos};
  const std::vector<Delivery> got = run(engine_.add(std::move(r)));
  expect_finish(got, first + 1, FinishReason::eos);
  EXPECT_EQ(got.back().token, eos);
}

TEST_F(EngineRules, ARequestEndsWhereTheContextIsFull) {
  expect_finish(run(engine_.add(request(5))), kContext - 5, FinishReason::context);
  engine_.remove(1);
  expect_finish(run(engine_.add(request(kContext - 1, 100))), 1, FinishReason::context);
}

TEST_F(EngineRules, LengthGoesBeforeContextWhereBothAreReached) {
  expect_finish(run(engine_.add(request(kContext - 4, 4))), 4, FinishReason::length);
}

TEST_F(EngineRules, AStepWithoutWorkDeliversNothing) {
  EXPECT_TRUE(engine_.idle());
  EXPECT_TRUE(engine_.step().empty());
  run(engine_.add(request(5, 1)));
  EXPECT_TRUE(engine_.step().empty());
}

TEST_F(EngineRules, AnEmptyPromptIsRefused) {
  const Error error = error_of([&] { engine_.add(request(0)); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_STREQ(error.what(), "prompt: expected at least one token, found none");
}

TEST_F(EngineRules, APromptThatLeavesNoRoomIsRefusedWithBothLengths) {
  const Error error = error_of([&] { engine_.add(request(kContext)); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_STREQ(error.what(),
               "prompt: expected at most 39 tokens (the context of 40 less one to generate), found 40");
}

TEST_F(EngineRules, ATokenOutsideTheVocabularyIsRefused) {
  for (int64_t token : {int64_t{-1}, vocab(), int64_t{INT32_MAX}}) {
    Request r = request(5);
    r.prompt[2] = static_cast<int32_t>(token);
    const Error error = error_of([&] { engine_.add(r); });
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.what(), fmt::format("prompt: expected tokens below {}, found {}", vocab(), token));
  }
}

TEST_F(EngineRules, MoreSequencesThanItHoldsAreRefusedAndARefusalLeavesNothingBehind) {
  engine_.add(request(5));
  const int64_t second = engine_.add(request(5));
  const Error error = error_of([&] { engine_.add(request(5)); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_STREQ(error.what(), "engine: all 2 sequences are in use");
  engine_.remove(second);
  EXPECT_NO_THROW(engine_.add(request(5)));
}

TEST_F(EngineRules, PagesComeBackWhenASequenceIsDropped) {
  const int64_t free = engine_.stepper().cache().free_pages();
  for (int round = 0; round < 5; ++round) {
    const int64_t finished = engine_.add(request(5, 3));
    const int64_t running = engine_.add(request(35));
    for (int i = 0; i < 8; ++i) engine_.step();
    EXPECT_EQ(engine_.stepper().cache().free_pages(), free - 3) << "one page and two";
    engine_.remove(finished);
    engine_.remove(running);
    EXPECT_EQ(engine_.stepper().cache().free_pages(), free);
    EXPECT_TRUE(engine_.idle());
  }
  engine_.remove(12345);  // nobody: nothing happens
}

TEST_F(EngineRules, ASequenceStartsAfreshInASlotThatHadPenalties) {
  Request r = request(6, 10);
  r.sampling.repetition_penalty = 1.5F;
  const std::vector<Delivery> first = run(engine_.add(r));
  engine_.remove(first[0].sequence);
  const std::vector<Delivery> again = run(engine_.add(r));
  ASSERT_EQ(first.size(), again.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].token, again[i].token);
}

TEST_F(EngineRules, ACacheThatIsFullSaysSo) {
  Engine small(
      model_, *backend_,
      {.sequences = 2, .context = kContext, .prefill_tokens = 64, .cache_tokens = 64, .prefill_rows = 0});
  small.add(request(33));
  small.add(request(33));
  const Error error = error_of([&] { small.step(); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_STREQ(error.what(), "KV cache: all 2 pages of 32 tokens are in use");
}

TEST(ShrinkingFile, IsNoticedBeforeTheNextRunAndNamed) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("ingot-shrink-{}", getpid());
  fs::remove_all(folder);
  fs::copy(checkpoint("llama/llama2"), folder);
  const std::string file = (folder / "model.safetensors").string();
  {
    const auto model = load_model(folder);
    const auto backend = backend::make_backend("cpu", {.threads = 1});
    Engine engine(model, *backend,
                  {.sequences = 1, .context = 30, .prefill_tokens = 8, .cache_tokens = 0, .prefill_rows = 0});
    engine.add({.prompt = {1, 2, 3}, .sampling = {}, .max_tokens = 9, .eos_tokens = {}});
    engine.step();
    engine.step();
    const auto bytes = fs::file_size(file);
    fs::resize_file(file, bytes / 2);
    const Error error = error_of([&] { engine.step(); });
    EXPECT_EQ(error.code(), ErrorCode::io);
    EXPECT_THAT(error.what(), HasSubstr(file));
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(bytes)));
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(bytes / 2)));
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace ingot::serve
