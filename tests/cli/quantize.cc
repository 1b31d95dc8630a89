// ingot quantize: what it prints, what it refuses, and that an interrupted or failed run leaves nothing.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iterator>

#include "cli/expect.h"
#include "cli/storyteller.h"
#include "cli/tiny_checkpoint.h"

namespace ingot::cli_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

size_t files_in(const TempFolder& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), {}));
}

TEST(Quantize, WritesAFileThatRuns) {
  const TempFolder out;
  const std::string file = out.path("s.gguf");
  const Result result = ingot({"quantize", storyteller(), file, "--type", "q8_0"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr(file + ": q8_0 "));
  EXPECT_THAT(result.out, HasSubstr("bits a weight"));
  EXPECT_THAT(result.out, HasSubstr("q8_0      57 tensors"));
  EXPECT_THAT(result.out, HasSubstr("GB/s"));
  EXPECT_THAT(result.err, HasSubstr("ingot: 50 % of"));  // no terminal: lines in place of a bar
  EXPECT_THAT(result.err, Not(HasSubstr("\r")));
  EXPECT_EQ(files_in(out), 1U);
  const Result run = ingot({"run", "-m", file, "-n", "8", "--seed", "4"});
  expect_success(run);
  EXPECT_FALSE(run.out.empty());
}

TEST(Quantize, FallbacksAreSaid) {
  const Result result = ingot({"quantize", storyteller(), "--dry-run", "-t", "q4_k_m"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("q5_0 (in place of q4_k)"));
  EXPECT_THAT(result.out, HasSubstr("q8_0 (in place of q6_k)"));
  EXPECT_THAT(result.out, HasSubstr("note: "));
  EXPECT_THAT(result.out, HasSubstr("blocks of 256 values do not fit"));
}

TEST(Quantize, JsonIsOneObject) {
  const TempFolder out;
  const Result result = ingot({"quantize", storyteller(), out.path("s.gguf"), "--json", "-t", "q4_0"});
  expect_success(result);
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("type"), "q4_0");
  EXPECT_EQ(json.at("output_bytes").get<uintmax_t>(), fs::file_size(out.path("s.gguf")));
  EXPECT_EQ(result.err, "");
}

TEST(Quantize, RefusesInOneLine) {
  const TempFolder out;
  const std::string file = out.path("s.gguf");
  expect_refused(ingot({"quantize", storyteller(), file, "--type", "q9"}),
                 {"type: expected one of f32", "'q9'"});
  expect_refused(ingot({"quantize", storyteller()}), {"OUT: expected the name of a file"});
  expect_refused(ingot({"quantize", out.path("absent"), file}), {out.path("absent")});
  expect_refused(ingot({"quantize", storyteller(), out.path()}), {"found a folder"});
  expect_refused(ingot({"quantize", storyteller(), out.path("no/s.gguf")}),
                 {"cannot create", "No such file"});
  out.write("s.gguf", "GGUF but no more");
  expect_refused(ingot({"quantize", storyteller(), file}), {"s.gguf: the file exists"});
  expect_refused(ingot({"quantize", file, out.path("t.gguf")}), {"s.gguf"});
  expect_refused(ingot({"quantize", storyteller() + "/model-00001-of-00003.safetensors", out.path("t.gguf")}),
                 {"safetensors"});
  EXPECT_EQ(files_in(out), 1U);
}

TEST(Quantize, ForceReplacesAFileButNeverTheInput) {
  const TempFolder out;
  const std::string file = out.path("s.gguf");
  out.write("s.gguf", "old");
  expect_success(ingot({"quantize", storyteller(), file, "-t", "bf16", "--force"}));
  expect_refused(ingot({"quantize", file, file, "-t", "q8_0", "--force"}),
                 {"the output is a file of the input"});
  EXPECT_TRUE(out.read("s.gguf").starts_with("GGUF"));
}

/// Some 6 GB of zeros that take no room: a run that lasts.
class LongRun : public testing::Test {
 protected:
  LongRun() {
    TinyCheckpoint checkpoint;
    constexpr int64_t kFfn = int64_t{1} << 22;
    constexpr int kLayers = 4;
    checkpoint.config["intermediate_size"] = kFfn;
    checkpoint.config["num_hidden_layers"] = kLayers;
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    uint64_t size = 0;
    const auto add = [&](const std::string& name, const std::vector<int64_t>& shape) {
      uint64_t bytes = 4;
      for (const int64_t dimension : shape) bytes *= static_cast<uint64_t>(dimension);
      header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {size, size + bytes}}};
      size += bytes;
    };
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (name.find("layers.") == std::string::npos) add(name, tensor.shape);
    }
    for (int layer = 0; layer < kLayers; ++layer) {
      for (const auto& [name, tensor] : checkpoint.tensors) {
        const std::string prefix = "model.layers.0.";
        if (!name.starts_with(prefix)) continue;
        auto shape = tensor.shape;
        for (int64_t& dimension : shape) dimension = dimension == 48 ? kFfn : dimension;
        add("model.layers." + std::to_string(layer) + "." + name.substr(prefix.size()), shape);
      }
    }
    checkpoint.tensors.clear();
    checkpoint.write(model);
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::string begin = TinyCheckpoint::safetensors(text, "");
    model.write("model.safetensors", begin);
    fs::resize_file(model.path("model.safetensors"), begin.size() + size);
  }

  bool wait_for_part() const {
    for (int i = 0; i < 600; ++i) {
      if (fs::exists(part)) return true;
      ::usleep(100000);
    }
    return false;
  }

  TempFolder model;
  TempFolder out;
  std::string part = out.path("m.gguf.part");
};

TEST_F(LongRun, InterruptLeavesNothing) {
  Process process({"quantize", model.path(), out.path("m.gguf"), "-t", "mxfp4"});
  ASSERT_TRUE(wait_for_part());
  process.interrupt();
  const Result result = process.finish();
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("cancelled after"));
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(files_in(out), 0U);
}

TEST_F(LongRun, ARequestToTerminateLeavesNothing) {
  Process process({"quantize", model.path(), out.path("m.gguf"), "-t", "mxfp4"});
  ASSERT_TRUE(wait_for_part());
  process.interrupt(SIGTERM);
  const Result result = process.finish();
  EXPECT_EQ(result.code, 128 + SIGTERM) << result.err;
  EXPECT_EQ(files_in(out), 0U);
}

TEST_F(LongRun, AShrinkingInputIsNamedAndLeavesNothing) {
  Process process({"quantize", model.path(), out.path("m.gguf"), "-t", "mxfp4"});
  ASSERT_TRUE(wait_for_part());
  fs::resize_file(model.path("model.safetensors"), 10);
  const Result result = process.finish();
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.signal, 0);
  EXPECT_THAT(result.err, HasSubstr(model.path()));
  EXPECT_EQ(files_in(out), 0U);
}

}  // namespace
}  // namespace ingot::cli_test
