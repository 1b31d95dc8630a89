// GGUF files against the safetensors of the same weights: the files beside the checkpoints of tests/model
// were written by the gguf package with the conventions of llama.cpp's converter (tools/gguf_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <vector>

#include "../format/fixtures.h"
#include "../format/gguf_bytes.h"
#include "backend/registry.h"
#include "dtype/formats.h"
#include "format/checkpoint.h"
#include "format/gguf_files.h"
#include "kv/sequence_pages.h"
#include "model/model.h"
#include "serve/engine.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using backend::StepClass;

constexpr int64_t kPrompt = 17;
constexpr int64_t kSteps = 16;

fs::path models() {
  return fs::path(INGOT_SOURCE_DIR) / "tests/model";
}

std::shared_ptr<const model::Model> open_model(const fs::path& path) {
  return std::make_shared<const model::Model>(format::Checkpoint::open(path.string()));
}

struct Results {
  std::vector<float> logits;  // [kPrompt + kSteps, vocab]: of the prompt in one step, then token by token
  std::vector<int32_t> greedy;
};

/// Continues a prompt of the ids 3, 10, 17 … with its own choices, or those of `followed`.
Results run(const std::shared_ptr<const model::Model>& model, const Results* followed = nullptr) {
  const int64_t vocab = model->dimensions().vocab;
  const auto backend = backend::make_backend("cpu", {.threads = 2});
  const serve::StepperLimits limits{.sequences = 1,
                                    .context = kPrompt + kSteps,
                                    .prefill_tokens = kPrompt,
                                    .cache_tokens = 0,
                                    .prefill_rows = kPrompt};
  serve::Stepper stepper(model, *backend, serve::Head::logits, limits);
  kv::SequencePages pages(stepper.cache(), limits.context);
  pages.grow(limits.context);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kPrompt; ++i) tokens.push_back(3 + 7 * i % 90);

  Results results;
  const auto step = [&](StepClass kind, int64_t position, int64_t count) {
    serve::StepSequence sequence;
    sequence.tokens = {tokens.data() + position, static_cast<size_t>(count)};
    sequence.position = position;
    sequence.pages = pages.pages();
    sequence.logit_rows = count;
    const float* logits = stepper.run(kind, {&sequence, 1}).f32();
    results.logits.insert(results.logits.end(), logits, logits + count * vocab);
    const auto last = results.logits.end() - vocab;
    results.greedy.push_back(static_cast<int32_t>(std::max_element(last, results.logits.end()) - last));
    tokens.push_back((followed == nullptr ? results : *followed).greedy[results.greedy.size() - 1]);
  };
  step(StepClass::prefill, 0, kPrompt);
  for (int64_t i = 0; i < kSteps; ++i) step(StepClass::decode, kPrompt + i, 1);
  return results;
}

/// The largest difference, as a share of the standard deviation of `expected`.
double distance(const std::vector<float>& found, const std::vector<float>& expected) {
  EXPECT_EQ(found.size(), expected.size());
  const auto count = static_cast<double>(expected.size());
  const double mean = std::accumulate(expected.begin(), expected.end(), 0.0) / count;
  double squares = 0;
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += std::pow(expected[i] - mean, 2);
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected[i]));
  }
  return worst / std::sqrt(squares / count);
}

struct Case {
  std::string folder;
  std::string file = "model.gguf";
  double tolerance = 0;  // of the logits' standard deviation; 0: bit-identical
};

class GgufModels : public testing::TestWithParam<Case> {};

TEST_P(GgufModels, LogitsEqualThoseOfTheSafetensors) {
  const fs::path folder = models() / GetParam().folder;
  const auto published = open_model(folder);
  const auto gguf = open_model(folder / GetParam().file);
  EXPECT_EQ(gguf->architecture().name(), published->architecture().name());
  EXPECT_EQ(gguf->parameters(), published->parameters());
  const Results expected = run(published);
  const Results found = run(gguf);
  EXPECT_EQ(found.greedy, expected.greedy);
  if (GetParam().tolerance == 0) {
    EXPECT_EQ(found.logits, expected.logits);
  } else {
    EXPECT_LE(distance(found.logits, expected.logits), GetParam().tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GgufModels,
                         testing::Values(Case{"llama/llama2"}, Case{"llama/linear_biases"},
                                         Case{"llama/yarn_head_dim"},
                                         Case{"llama/mistral", "model-00002-of-00003.gguf"},
                                         Case{"qwen2/sliding"}, Case{"qwen2/tied"},
                                         Case{"qwen2/yarn_untied_bf16"}, Case{"qwen3/tied_bf16"},
                                         // Divisors in f32 in place of llama3's formula.
                                         Case{"llama/llama3", "model.gguf", 1e-5},
                                         // Linears stored in the other order sum in another order.
                                         Case{"gpt2/published", "model.gguf", 1e-5}),
                         [](const auto& info) {
                           std::string name = info.param.folder;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

/// The same file with every tensor decoded to f32, but for one that becomes zeros of q8_0.
std::string decoded(const format::GgufFiles& files, std::string_view in_blocks = {}) {
  format::GgufBytes copy;
  for (const std::string_view key : files.metadata.keys()) {
    const auto bytes = files.metadata.encoded(key);
    const std::string_view value(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    uint32_t type = 0;
    std::memcpy(&type, value.data(), sizeof type);
    copy.raw_entry(key, type, value.substr(sizeof type));
  }
  for (const format::Tensor& tensor : files.tensors) {
    const std::vector<uint64_t> dimensions(tensor.shape.rbegin(), tensor.shape.rend());
    if (tensor.name == in_blocks) {
      const std::string zeros(static_cast<size_t>(dtype_bytes(DType::q8_0, tensor.elements())), 0);
      copy.tensor(tensor.name, dimensions, *format::gguf_type_id(DType::q8_0), zeros);
      continue;
    }
    std::string values;
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      values += format::little_endian(dtype::value_at(tensor.dtype, tensor.bytes.data(), i));
    }
    copy.tensor(tensor.name, dimensions, *format::gguf_type_id(DType::f32), values);
  }
  return copy.bytes();
}

TEST(GgufModel, NormsInBlocksAreUnsupported) {
  const format::TempFolder folder;
  const auto files = format::GgufFiles::open((models() / "llama/llama3/model.gguf").string());
  const std::string path = folder.write("m.gguf", decoded(files, "blk.1.attn_norm.weight"));
  format::expect_error(ErrorCode::unsupported,
                       "m.gguf: tensor 'model.layers.1.input_layernorm.weight': expected f32, f16 or bf16, "
                       "found q8_0",
                       [&] { open_model(path); });
}

TEST(GgufModel, MissingTensorIsNamedAsTheArchitectureKnowsIt) {
  const format::TempFolder folder;
  const auto files = format::GgufFiles::open((models() / "llama/llama3/model.gguf").string());
  std::string bytes = decoded(files);
  // Of the same length, so that nothing else moves.
  const std::string_view known = "blk.1.attn_norm.weight";
  bytes.replace(bytes.find(known), known.size(), "blk.1.attn_sink.weight");
  const std::string path = folder.write("m.gguf", bytes);
  format::expect_error(ErrorCode::not_found, "tensor 'model.layers.1.input_layernorm.weight' is missing",
                       [&] { open_model(path); });
}

TEST(GgufModel, QuantisedWeightsComputeWhatTheirValuesDo) {
  const fs::path quantised = models() / "llama/llama3/model-q8_0.gguf";
  const format::TempFolder folder;
  const std::string plain = folder.write("plain.gguf", decoded(format::GgufFiles::open(quantised.string())));
  const auto model = open_model(quantised);
  EXPECT_GT(model->parameters_by_dtype().at(DType::q8_0), 0);
  const Results expected = run(open_model(plain));
  // Kernels may round activations to 8 bits as well; rows in a wrong order would be several deviations away.
  EXPECT_LE(distance(run(model, &expected).logits, expected.logits), 0.4);
}

}  // namespace
}  // namespace ingot
