// quantize(): files equal to those of the gguf package, tokenizers that give the same ids, and what is
// refused.
#include "ingot/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "../cli/tiny_checkpoint.h"
#include "api/quantize_tokenizer.h"
#include "api/quantize_types.h"
#include "dtype/formats.h"
#include "format/checkpoint.h"
#include "format/gguf_files.h"
#include "ingot/llm.h"
#include "text/tokenizer.h"

namespace ingot {
namespace {

namespace fs = std::filesystem;
using cli_test::TempFolder;
using cli_test::TinyCheckpoint;
using format::GgufFiles;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string source(const std::string& path) {
  return std::string(INGOT_SOURCE_DIR) + "/" + path;
}

template <class Function>
void expect_refused(ErrorCode code, const std::string& part, Function function) {
  try {
    function();
    ADD_FAILURE() << "expected an Error with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

size_t files_in(const TempFolder& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), {}));
}

QuantizeOptions of_type(const std::string& type) {
  QuantizeOptions options;
  options.type = type;
  options.threads = 2;
  return options;
}

const format::Tensor& find(const GgufFiles& files, const std::string& name) {
  for (const format::Tensor& tensor : files.tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error(name + " is missing");
}

struct Published {
  std::string folder;
  std::string file;
  std::string type;
};

class AsPublished : public testing::TestWithParam<Published> {};

/// The files of tests/model were written by the gguf package (tools/gguf_goldens.py).
TEST_P(AsPublished, TensorsAndModelKeysAreEqual) {
  const std::string folder = source("tests/model/") + GetParam().folder;
  const TempFolder out;
  quantize(folder, out.path("m.gguf"), of_type(GetParam().type));
  const GgufFiles found = GgufFiles::open(out.path("m.gguf"));
  const GgufFiles expected = GgufFiles::open(folder + "/" + GetParam().file);
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (const format::Tensor& tensor : expected.tensors) {
    const format::Tensor& mine = find(found, tensor.name);
    EXPECT_EQ(mine.shape, tensor.shape) << tensor.name;
    ASSERT_EQ(mine.dtype, tensor.dtype) << tensor.name;
    ASSERT_EQ(mine.bytes.size(), tensor.bytes.size()) << tensor.name;
    if (tensor.name == "rope_freqs.weight") {  // by another order of operations
      for (int64_t i = 0; i < tensor.elements(); ++i) {
        const float value = dtype::value_at(DType::f32, tensor.bytes.data(), i);
        EXPECT_NEAR(dtype::value_at(DType::f32, mine.bytes.data(), i), value, 1e-5 * value);
      }
    } else {
      EXPECT_EQ(std::memcmp(mine.bytes.data(), tensor.bytes.data(), tensor.bytes.size()), 0) << tensor.name;
    }
  }
  const std::string architecture(expected.metadata.get_string("general.architecture"));
  EXPECT_EQ(found.metadata.get_string("general.architecture"), architecture);
  for (const std::string_view key : expected.metadata.keys()) {
    if (!key.starts_with(architecture + ".")) continue;
    ASSERT_TRUE(found.metadata.has(key)) << key;
    const auto mine = found.metadata.encoded(key);
    const auto theirs = expected.metadata.encoded(key);
    EXPECT_TRUE(std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end())) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, AsPublished,
                         testing::Values(Published{"llama/llama2", "model.gguf", "f32"},
                                         Published{"llama/llama3", "model.gguf", "bf16"},
                                         Published{"llama/llama3", "model-q8_0.gguf", "q8_0"},
                                         Published{"llama/linear_biases", "model.gguf", "f16"},
                                         Published{"llama/mistral", "model-00001-of-00003.gguf", "bf16"},
                                         Published{"llama/yarn_head_dim", "model.gguf", "f32"},
                                         Published{"qwen2/sliding", "model.gguf", "f16"},
                                         Published{"qwen2/tied", "model.gguf", "f32"},
                                         Published{"qwen2/yarn_untied_bf16", "model.gguf", "bf16"},
                                         Published{"qwen3/tied_bf16", "model.gguf", "bf16"},
                                         Published{"gpt2/published", "model.gguf", "f32"}),
                         [](const auto& info) {
                           std::string name = info.param.folder + "_" + info.param.type;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

std::vector<std::string> model_folders() {
  std::vector<std::string> folders;
  for (const char* architecture : {"gpt2", "llama", "qwen2", "qwen3"}) {
    for (const auto& entry : fs::directory_iterator(source("tests/model/") + architecture)) {
      if (fs::exists(entry.path() / "config.json")) folders.push_back(entry.path().string());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

/// Every checkpoint in f32, read again under Hugging Face's names.
TEST(Quantize, ValuesOfEveryArchitectureComeBack) {
  for (const std::string& folder : model_folders()) {
    SCOPED_TRACE(folder);
    const TempFolder out;
    try {
      quantize(folder, out.path("m.gguf"), of_type("f32"));
    } catch (const Error& error) {  // what GGUF has no words for says so
      EXPECT_EQ(error.code(), ErrorCode::unsupported);
      EXPECT_THAT(error.what(), HasSubstr("GGUF cannot express"));
      EXPECT_EQ(files_in(out), 0U);
      continue;
    }
    const auto published = format::Checkpoint::open(folder);
    const auto written = format::Checkpoint::open(out.path("m.gguf"));
    const bool is_gpt2 = written->config().get_string("model_type") == "gpt2";
    for (const format::Tensor& tensor : written->tensors()) {
      const format::Tensor* original = published->find(tensor.name);
      if (original == nullptr) original = published->find("transformer." + tensor.name);
      ASSERT_NE(original, nullptr) << tensor.name;
      ASSERT_EQ(original->elements(), tensor.elements());
      const int64_t rows = tensor.shape.front();
      const int64_t width = tensor.elements() / rows;
      // Square ones too: c_attn, c_proj, c_fc, as GPT-2 names its linears.
      const bool transposed =
          is_gpt2 && tensor.shape.size() == 2 && tensor.name.find(".c_") != std::string::npos;
      int64_t different = 0;
      for (int64_t i = 0; i < tensor.elements(); ++i) {
        const int64_t at = transposed ? i % width * rows + i / width : i;
        different += dtype::value_at(DType::f32, tensor.bytes.data(), i) !=
                     dtype::value_at(original->dtype, original->bytes.data(), at);
      }
      EXPECT_EQ(different, 0) << tensor.name;
    }
  }
}

/// Perplexity goes through everything: metadata, tokenizer, weights.
double nll(const std::string& model, const std::string& text) {
  LoadOptions options;
  options.compile.threads = 2;
  return LLM::load(model, options).perplexity(text).nll;
}

TEST(Quantize, AModelPredictsTheSameFromItsGgufFile) {
  std::string text(600, '\0');
  std::ifstream(source("tests/data/fairytales-valid.txt")).read(text.data(), 600);
  const TempFolder out;
  const std::string model = source("models/storyteller");
  quantize(model, out.path("bf16.gguf"), of_type("bf16"));
  quantize(model, out.path("q8_0.gguf"), of_type("q8_0"));
  const double expected = nll(model, text);
  EXPECT_EQ(nll(out.path("bf16.gguf"), text), expected);
  EXPECT_NEAR(nll(out.path("q8_0.gguf"), text), expected, 0.01 * expected);
  // GGUF in gives what the folder gave.
  quantize(out.path("bf16.gguf"), out.path("again.gguf"), of_type("q8_0"));
  const GgufFiles once = GgufFiles::open(out.path("q8_0.gguf"));
  const GgufFiles again = GgufFiles::open(out.path("again.gguf"));
  ASSERT_EQ(once.tensors.size(), again.tensors.size());
  for (const format::Tensor& tensor : once.tensors) {
    const format::Tensor& other = find(again, tensor.name);
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other.bytes.begin(), other.bytes.end()))
        << tensor.name;
  }
  for (const std::string_view key : once.metadata.keys()) EXPECT_TRUE(again.metadata.has(key)) << key;
}

TEST(Quantize, EveryTypeIsCloseToTheOriginalByItsBits) {
  const TempFolder folder;
  TinyCheckpoint().write(folder);
  const auto original = format::Checkpoint::open(folder.path());
  for (const auto& [type, tolerance] : std::vector<std::pair<std::string, double>>{{"f32", 0},
                                                                                   {"f16", 5e-4},
                                                                                   {"bf16", 4e-3},
                                                                                   {"q8_0", 0.01},
                                                                                   {"q6_k", 0.03},
                                                                                   {"q4_0", 0.2},
                                                                                   {"mxfp4", 0.3},
                                                                                   {"q4_k_m", 0.2},
                                                                                   {"q4_k", 0.2}}) {
    SCOPED_TRACE(type);
    const TempFolder out;
    const QuantizeResult result = quantize(folder.path(), out.path("m.gguf"), of_type(type));
    EXPECT_EQ(result.output_bytes, static_cast<int64_t>(fs::file_size(out.path("m.gguf"))));
    EXPECT_EQ(files_in(out), 1U);
    const auto written = format::Checkpoint::open(out.path("m.gguf"));
    for (const format::Tensor& tensor : written->tensors()) {
      const format::Tensor& from = *original->find(tensor.name);
      double error = 0;
      double square = 0;
      for (int64_t i = 0; i < tensor.elements(); ++i) {
        const double value = dtype::value_at(from.dtype, from.bytes.data(), i);
        error += std::pow(dtype::value_at(tensor.dtype, tensor.bytes.data(), i) - value, 2);
        square += value * value;
      }
      EXPECT_LE(std::sqrt(error / square), tensor.shape.size() == 1 ? 0 : tolerance) << tensor.name;
    }
  }
}

TEST(Quantize, ThreadsDoNotChangeTheFile) {
  const TempFolder out;
  QuantizeOptions options = of_type("q4_k_m");
  for (const int threads : {1, 3}) {
    options.threads = threads;
    quantize(source("models/storyteller"), out.path(std::to_string(threads)), options);
  }
  EXPECT_EQ(out.read("1"), out.read("3"));
}

TEST(Quantize, AQuantisedInputIsSaid) {
  const TempFolder out;
  const std::string input = source("tests/model/llama/llama3/model-q8_0.gguf");
  const QuantizeResult result = quantize(input, out.path("m.gguf"), of_type("q4_0"));
  EXPECT_THAT(result.notes, Contains(HasSubstr("quantised already")));
  // Tensors that keep their type keep their bytes.
  const QuantizeResult same = quantize(input, out.path("same.gguf"), of_type("q8_0"));
  const GgufFiles before = GgufFiles::open(input);
  const GgufFiles after = GgufFiles::open(out.path("same.gguf"));
  for (const format::Tensor& tensor : before.tensors) {
    const auto bytes = find(after, tensor.name).bytes;
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end()))
        << tensor.name;
  }
}

TEST(Quantize, PartsOfASplitFileBecomeOne) {
  const TempFolder out;
  quantize(source("tests/model/llama/mistral/model-00002-of-00003.gguf"), out.path("m.gguf"), of_type("f32"));
  const GgufFiles files = GgufFiles::open(out.path("m.gguf"));
  EXPECT_EQ(files.files.size(), 1U);
  EXPECT_FALSE(files.metadata.has("split.count"));
  EXPECT_EQ(files.metadata.get_int("general.file_type", 0, 100), 0);
  EXPECT_EQ(files.tensors.size(),
            GgufFiles::open(source("tests/model/llama/mistral/model-00001-of-00003.gguf")).tensors.size());
}

TEST(Quantize, CancellationLeavesNothing) {
  const TempFolder out;
  QuantizeOptions options = of_type("q8_0");
  std::string part;
  options.on_part = [&](const std::string& path) { part = path; };
  int calls = 0;
  options.progress = [&](const QuantizeProgress& progress) {
    EXPECT_TRUE(fs::exists(part));
    EXPECT_LE(progress.done_bytes, progress.total_bytes);
    return ++calls < 3;
  };
  expect_refused(ErrorCode::invalid_argument, "cancelled after ",
                 [&] { quantize(source("models/storyteller"), out.path("m.gguf"), options); });
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(files_in(out), 0U);
}

TEST(Quantize, ProgressEndsAtTheWhole) {
  const TempFolder out;
  QuantizeOptions options = of_type("f16");
  QuantizeProgress last;
  options.progress = [&](const QuantizeProgress& progress) {
    last = progress;
    return true;
  };
  const QuantizeResult result = quantize(source("models/storyteller"), out.path("m.gguf"), options);
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_EQ(last.total_bytes, result.input_bytes);
}

TEST(Quantize, APlanIsWhatIsWritten) {
  const TempFolder out;
  const QuantizeResult plan = plan_quantize(source("models/storyteller"), of_type("q4_k_m"));
  const QuantizeResult result = quantize(source("models/storyteller"), out.path("m.gguf"), of_type("q4_k_m"));
  EXPECT_EQ(plan.weight_bytes, result.weight_bytes);
  EXPECT_EQ(plan.notes, result.notes);
  EXPECT_THAT(plan.notes, Contains(HasSubstr("q5_0 in place of q4_k")));
  ASSERT_EQ(plan.tensors.size(), result.tensors.size());
  const GgufFiles files = GgufFiles::open(out.path("m.gguf"));
  for (const QuantizedTensor& tensor : plan.tensors) EXPECT_EQ(find(files, tensor.name).dtype, tensor.to);
}

TEST(QuantizeRefuses, PlacesAndOptionsThatCannotBe) {
  const TempFolder out;
  const std::string model = source("models/storyteller");
  const auto to = [&](const std::string& name, const QuantizeOptions& options = of_type("q8_0")) {
    quantize(model, out.path(name), options);
  };
  expect_refused(ErrorCode::invalid_argument,
                 "type: expected one of f32, f16, bf16, q8_0, q6_k, q4_k_m, q4_k",
                 [&] { to("m.gguf", of_type("q5_k_m")); });
  QuantizeOptions threads = of_type("q8_0");
  threads.threads = -1;
  expect_refused(ErrorCode::invalid_argument, "threads: expected 1 to", [&] { to("m.gguf", threads); });
  expect_refused(ErrorCode::not_found, "absent", [&] { quantize(out.path("absent"), out.path("m.gguf")); });
  out.write("m.gguf", "mine");
  expect_refused(ErrorCode::invalid_argument, "m.gguf: the file exists", [&] { to("m.gguf"); });
  EXPECT_EQ(out.read("m.gguf"), "mine");
  QuantizeOptions force = of_type("f16");
  force.force = true;
  to("m.gguf", force);
  EXPECT_TRUE(out.read("m.gguf").starts_with("GGUF"));
  expect_refused(ErrorCode::invalid_argument, "the output is a file of the input",
                 [&] { quantize(out.path("m.gguf"), out.path("m.gguf"), force); });
  EXPECT_EQ(files_in(out), 1U);
}

TEST(QuantizeRefuses, ValuesThatATypeCannotHold) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), 1e6F}) {
    TinyCheckpoint checkpoint;
    checkpoint.tensors["model.layers.1.mlp.up_proj.weight"].values[70] = value;
    const TempFolder folder;
    checkpoint.write(folder);
    const TempFolder out;
    for (const char* type : {"f16", "q8_0", "q4_k_m"}) {
      expect_refused(ErrorCode::invalid_file,
                     "tensor 'model.layers.1.mlp.up_proj.weight': rows 0 to 47 hold a value",
                     [&] { quantize(folder.path(), out.path("m.gguf"), of_type(type)); });
    }
    quantize(folder.path(), out.path("m.gguf"), of_type("f32"));
    EXPECT_EQ(files_in(out), 1U);
  }
}

TEST(QuantizeRefuses, WhatGgufCannotExpress) {
  const auto refused = [](const std::string& part, const auto& change) {
    TinyCheckpoint checkpoint;
    change(checkpoint);
    const TempFolder folder;
    checkpoint.write(folder);
    expect_refused(ErrorCode::unsupported, part, [&] { plan_quantize(folder.path(), of_type("f32")); });
  };
  refused("pre_tokenizer: GGUF cannot express this rule", [](TinyCheckpoint& c) {
    c.tokenizer["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Digits"}, {"individual_digits", false}}, c.tokenizer["pre_tokenizer"]}}};
  });
  refused("normalizer", [](TinyCheckpoint& c) { c.tokenizer["normalizer"] = {{"type", "NFKC"}}; });
  refused("key 'rope_scaling': GGUF cannot express yarn with truncate false", [](TinyCheckpoint& c) {
    c.config["rope_scaling"] = {{"rope_type", "yarn"},
                                {"factor", 4.0},
                                {"truncate", false},
                                {"original_max_position_embeddings", 16}};
  });
  refused("more than 3 tokens that end a text", [](TinyCheckpoint& c) {
    c.generation_config["eos_token_id"] = {0, 1, 2, 3};
  });
}

TEST(QuantizeTypes, MixturesAreThoseThatUsersKnow) {
  const api::Recipe& recipe = api::find_recipe("q4_k_m");
  const api::RecipeModel model{.layers = 16, .has_output = false};
  const std::vector<int64_t> matrix = {512, 2048};
  const auto type = [&](const std::string& name) {
    return api::choose_type(recipe, model, name, matrix, DType::bf16).used;
  };
  std::set<int64_t> fine;
  for (int64_t layer = 0; layer < 16; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer);
    if (type(prefix + ".attn_v.weight") == DType::q6_k) fine.insert(layer);
    EXPECT_EQ(type(prefix + ".ffn_down.weight"), type(prefix + ".attn_v.weight"));
    EXPECT_EQ(type(prefix + ".attn_q.weight"), DType::q4_k);
    EXPECT_EQ(type(prefix + ".ffn_gate.weight"), DType::q4_k);
  }
  EXPECT_THAT(fine, ElementsAre(0, 1, 4, 7, 10, 13, 14, 15));
  EXPECT_EQ(type("token_embd.weight"), DType::q6_k);
  EXPECT_EQ(
      api::choose_type(recipe, {.layers = 16, .has_output = true}, "token_embd.weight", matrix, DType::bf16)
          .used,
      DType::q4_k);
  EXPECT_EQ(type("output.weight"), DType::q6_k);
  EXPECT_EQ(type("blk.3.attn_q_norm.weight"), DType::f32);
  EXPECT_EQ(type("position_embd.weight"), DType::f32);
}

TEST(QuantizeTypes, RowsThatAreNoWholeBlocksTakeAnother) {
  const auto type = [&](std::string_view recipe, int64_t width) {
    const std::vector<int64_t> shape = {64, width};
    return api::choose_type(api::find_recipe(recipe), {.layers = 1}, "blk.0.ffn_up.weight", shape,
                            DType::bf16)
        .used;
  };
  EXPECT_EQ(type("q4_k", 512), DType::q4_k);
  EXPECT_EQ(type("q4_k", 384), DType::q5_0);
  EXPECT_EQ(type("q6_k", 384), DType::q8_0);
  EXPECT_EQ(type("q4_0", 384), DType::q4_0);
  EXPECT_EQ(type("q4_0", 40), DType::f16);
  EXPECT_EQ(type("q4_k", 40), DType::f16);
  EXPECT_EQ(type("mxfp4", 40), DType::f16);
}

/// The tokenizer of tests/data/tokenizers/NAME, written to GGUF and read again; notes are returned.
std::vector<std::string> expect_same_ids(const std::string& name) {
  SCOPED_TRACE(name);
  const std::string folder = source("tests/data/tokenizers/") + name;
  const text::Tokenizer original = text::Tokenizer::load(folder);
  const TempFolder out;
  const api::TokenizerSection section =
      api::read_tokenizer_section(folder, static_cast<int64_t>(original.vocab_size()) + 7, {});
  {
    format::GgufWriter writer(out.path("m.gguf"), format::GgufWriter::Existing::refuse);
    api::write_tokenizer_section(section, writer);
    writer.begin();
    writer.commit();
  }
  const GgufFiles files = GgufFiles::open(out.path("m.gguf"));
  const text::Tokenizer written = text::Tokenizer::from_gguf(files.metadata, "m.gguf");
  std::ifstream cases(folder + "/cases.jsonl");
  int count = 0;
  for (std::string line; std::getline(cases, line); ++count) {
    const auto parsed = nlohmann::json::parse(line);
    if (!parsed.contains("text")) continue;  // ids to decode
    const auto text = parsed.at("text").get<std::string>();
    EXPECT_EQ(written.encode(text), original.encode(text)) << text;
    const std::vector<int32_t> ids = original.encode(text);
    EXPECT_EQ(written.decode(ids), original.decode(ids)) << text;
  }
  EXPECT_GT(count, 50);
  return section.notes;
}

TEST(QuantizeTokenizer, EveryKindThatGgufKnowsGivesTheSameIds) {
  for (const char* name : {"gpt2", "smollm", "llama3", "qwen2", "tekken", "deepseek_v3", "sentencepiece"}) {
    EXPECT_THAT(expect_same_ids(name), IsEmpty()) << name;
  }
}

TEST(QuantizeTokenizer, OthersAreRefusedByName) {
  const auto refused = [](const std::string& name, const std::string& part) {
    SCOPED_TRACE(name);
    expect_refused(ErrorCode::unsupported, part,
                   [&] { api::read_tokenizer_section(source("tests/data/tokenizers/") + name, 10000, {}); });
  };
  refused("splits", "pre_tokenizer: GGUF cannot express");
  refused("added_tokens", "pre_tokenizer: GGUF cannot express");
  refused("llama2", "GGUF cannot express these");  // merges that no scores give
  refused("metaspace_unknown", "GGUF cannot express BPE that is neither byte-level nor falls back to bytes");
  expect_refused(ErrorCode::unsupported, "the embedding 3 rows",
                 [] { api::read_tokenizer_section(source("tests/data/tokenizers/gpt2"), 3, {}); });
}

TEST(QuantizeTokenizer, WhatHasNoWordsInGgufIsNoted) {
  const auto section = api::read_tokenizer_section(source("tests/data/tokenizers/sentencepiece"), 2000, {});
  EXPECT_EQ(section.model, "llama");
  const auto storyteller = api::read_tokenizer_section(source("models/storyteller"), 8192, {});
  EXPECT_EQ(storyteller.pre, "smollm");
  EXPECT_THAT(storyteller.notes, Contains(HasSubstr("<|endoftext|>")));
}

}  // namespace
}  // namespace ingot
