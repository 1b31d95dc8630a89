// When a calibration is kept, and when it is measured again.
#include "exec/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "backend/cpu/cpu_backend.h"
#include "backend/null/null_backend.h"
#include "exec/calibration_file.h"
#include "format/fixtures.h"

namespace ingot::exec {
namespace {

using format::TempFolder;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

int measured = 0;

DeviceCosts some_costs() {
  DeviceCosts costs = DeviceCosts::uniform("null", 1.5, 40, 200, 0, 0);
  costs.gbps.points = {{.size = 0x1p20, .rate = 100.0 / 3}, {.size = 0x1p29, .rate = 1e-3}};
  costs.gflops = {{.dtype = DType::f32, .gflops = 200}, {.dtype = DType::bf16, .gflops = 0.1}};
  costs.kernels = {
      {.op = "linear",
       .kernel = "linear_decode",
       .weight = DType::bf16,
       .layout = "out_in",
       .launch_us = 0.7,
       .gbps = {{{.size = 2, .rate = 30}}},
       .gflops = {}},
      {.op = "add", .kernel = "add", .weight = DType::f32, .layout = "", .gbps = {}, .gflops = {}}};
  return costs;
}

/// In place of measuring.
Calibration measure(backend::Backend& backend) {
  ++measured;
  Calibration calibration;
  calibration.identity = identity_of(backend);
  calibration.costs = some_costs();
  calibration.costs.description = calibration.identity.description;
  calibration.seconds = 2.25;
  calibration.is_new = true;
  return calibration;
}

class CalibrationFile : public testing::Test {
 protected:
  void SetUp() override { measured = 0; }
  Calibration load(bool force = false) {
    notices.clear();
    return load_or_calibrate(backend, options(force));
  }
  CalibrationOptions options(bool force = false) {
    return {.path = path,
            .force = force,
            .notice = [this](std::string_view line) { notices.emplace_back(line); },
            .measure = measure};
  }
  json read() {
    std::ifstream file(path);
    return json::parse(file);
  }
  void write(const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  /// Expects that the file is ignored for this reason, measured anew and repaired.
  void expect_remade(const std::string& reason) {
    measured = 0;
    const Calibration calibration = load();
    EXPECT_EQ(measured, 1);
    EXPECT_THAT(notices,
                ElementsAre(testing::AllOf(HasSubstr(path), HasSubstr("ignored: "), HasSubstr(reason)),
                            HasSubstr("calibrating")));
    EXPECT_EQ(calibration.path, path);
    EXPECT_FALSE(load().is_new);
    EXPECT_THAT(notices, IsEmpty());
  }

  TempFolder folder;
  std::string path = folder.path() + "/cache/ingot/calibration-v1.json";
  null::NullBackend backend;
  std::vector<std::string> notices;
};

TEST_F(CalibrationFile, IsMadeOnceAndThenRead) {
  const Calibration first = load();
  EXPECT_TRUE(first.is_new);
  EXPECT_THAT(notices, ElementsAre(HasSubstr("calibrating null, about 5 s, once")));
  const Calibration second = load();
  EXPECT_FALSE(second.is_new);
  EXPECT_THAT(notices, IsEmpty());
  EXPECT_EQ(measured, 1);
  EXPECT_EQ(second.identity, first.identity);
  EXPECT_EQ(second.costs, first.costs);
  EXPECT_EQ(second.seconds, first.seconds);
  EXPECT_EQ(second.hash(), first.hash());
  EXPECT_EQ(second.path, path);
}

TEST_F(CalibrationFile, LoadingAloneNeverMeasures) {
  EXPECT_FALSE(load_calibration(backend, options()).has_value());
  load();
  EXPECT_EQ(measured, 1);
  const auto found = load_calibration(backend, options());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->costs, some_costs());
  EXPECT_EQ(measured, 1);
}

TEST_F(CalibrationFile, ForceMeasuresAgain) {
  load();
  EXPECT_TRUE(load(true).is_new);
  EXPECT_EQ(measured, 2);
  EXPECT_EQ(read().at("calibrations").size(), 1U);
}

TEST_F(CalibrationFile, HashIsThatOfIdentityAndCostsAlone) {
  Calibration calibration;
  calibration.costs = some_costs();
  calibration.identity = {
      .device = "cpu", .description = "a CPU", .threads = 2, .instruction_set = "AVX3", .build = "b"};
  // Known: plans and explain's output name it, so it may change with the version only.
  EXPECT_EQ(calibration.hash(), "8a585bf4898bcc28");
  Calibration other = calibration;
  other.seconds = 9;
  other.path = "elsewhere";
  other.is_new = true;
  EXPECT_EQ(other.hash(), calibration.hash());
  other.costs.kernels[0].launch_us = 0.71;
  EXPECT_NE(other.hash(), calibration.hash());
  other = calibration;
  other.identity.threads = 3;
  EXPECT_NE(other.hash(), calibration.hash());
}

TEST_F(CalibrationFile, TextRoundTripsEveryNumberExactly) {
  Calibration calibration;
  calibration.costs = some_costs();
  calibration.identity = {.device = "null",
                          .description = "null",
                          .threads = 1,
                          .instruction_set = "\"\\\n\xc3\xa9",
                          .build = ""};
  calibration.seconds = 1.0 / 3;
  const std::vector<Calibration> read = parse_calibrations(calibrations_text({&calibration, 1}));
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].costs, calibration.costs);
  EXPECT_EQ(read[0].identity, calibration.identity);
  EXPECT_EQ(read[0].seconds, calibration.seconds);
}

TEST_F(CalibrationFile, CorruptFilesOfManyKindsAreRemade) {
  load();
  std::stringstream good;
  good << std::ifstream(path).rdbuf();
  const std::string text = good.str();
  write("");
  expect_remade("no JSON");
  write(text.substr(0, text.size() / 2));
  expect_remade("no JSON");
  write(std::string(100, '\0'));
  expect_remade("no JSON");
  write(std::string(100000, '['));
  expect_remade("no JSON");
  write("[]");
  expect_remade("the file: expected an object");
  write("{}");
  expect_remade("expected 'version', found none");
  write(R"({"version": 1})");
  expect_remade("expected 'calibrations', found none");
  write(R"({"version": 1, "calibrations": [7]})");
  expect_remade("calibration: expected an object");
  write(std::string(size_t{5} << 20, ' '));
  expect_remade("larger than");
}

TEST_F(CalibrationFile, DamagedFieldsAreNamed) {
  load();
  const json good = read();
  const auto spoil = [&](const std::string& where, const json& value, const std::string& reason) {
    SCOPED_TRACE(where);
    json bad = good;
    bad["calibrations"][0][json::json_pointer(where)] = value;
    write(bad.dump());
    expect_remade(reason);
  };
  spoil("/identity/threads", 0, "calibration.identity.threads: expected a whole number from 1");
  spoil("/identity/threads", 1.5, "calibration.identity.threads: expected a whole number");
  spoil("/identity/threads", 4294967297, "calibration.identity.threads: expected a whole number");
  spoil("/identity/device", 3, "calibration.identity.device: expected text");
  spoil("/identity/build", std::string(1000, 'x'),
        "calibration.identity.build: expected text of at most 512");
  spoil("/costs/launch_us", -1, "calibration.costs.launch_us: expected a number from 0");
  spoil("/costs/launch_us", nullptr, "calibration.costs.launch_us: expected a number");
  spoil("/costs/transfer_us", "fast", "calibration.costs.transfer_us: expected a number");
  spoil("/costs/gbps", json::array(), "expected a bandwidth and an arithmetic rate");
  spoil("/costs/gbps/0/rate", 0, "calibration.costs.gbps.rate: expected a number");
  spoil("/costs/gbps/0/rate", 1e300, "calibration.costs.gbps.rate: expected a number");
  spoil("/costs/gbps/0/size", 1e17, "expected ascending sizes");
  spoil("/costs/gflops/0/type", "f31", "gflops.type: expected an element type");
  spoil("/costs/shares_host_memory", 1, "calibration.costs.shares_host_memory: expected true or false");
  spoil("/costs/shares_host_memory", false, "calibration.costs.transfer_gbps: expected a number");
  spoil("/costs/kernels/0/weight", "", "kernels.weight: expected an element type");
  spoil("/costs/kernels/0/gbps", 5, "kernels.gbps: expected a list");
  spoil("/seconds", -3, "calibration.seconds: expected a number");
  spoil("/hash", "0123456789abcdef", "its hash is not that of its content");
  spoil("/costs/launch_us", 1.25, "its hash is not that of its content");
}

TEST_F(CalibrationFile, NumberBeyondEveryDoubleIsRefusedLikeAnyOther) {
  load();
  std::string text = read().dump();
  const std::string launch = "\"launch_us\":1.5";
  ASSERT_NE(text.find(launch), std::string::npos);
  text.replace(text.find(launch), launch.size(), "\"launch_us\":1e999");
  write(text);
  expect_remade("no JSON");
}

TEST_F(CalibrationFile, OfAnotherVersionIsRemade) {
  load();
  for (const json& version : {json(2), json("1"), json(nullptr), json(1.5)}) {
    json file = read();
    file["version"] = version;
    write(file.dump());
    expect_remade("expected version 1");
  }
}

TEST_F(CalibrationFile, OfAnotherMachineOrBuildIsRemade) {
  const auto pretend = [&](const auto& change) {
    Calibration other = measure(backend);
    change(other.identity);
    write_calibrations(path, {&other, 1});
  };
  pretend([](CalibrationIdentity& identity) { identity.description = "a faster null"; });
  expect_remade("made for device 'a faster null', this is 'null'");
  pretend([](CalibrationIdentity& identity) { identity.instruction_set = "AVX9"; });
  expect_remade("made for instruction set 'AVX9', this is ''");
  pretend([](CalibrationIdentity& identity) { identity.build = "ingot 0.0.9"; });
  expect_remade("made for build 'ingot 0.0.9'");
}

TEST_F(CalibrationFile, OfAnotherThreadCountIsSaidAndKept) {
  Calibration other = measure(backend);
  other.identity.threads = 8;
  write_calibrations(path, {&other, 1});
  expect_remade("made for 8 threads, this run has 1");
  EXPECT_EQ(read().at("calibrations").size(), 2U);
  load(true);
  EXPECT_EQ(read().at("calibrations").size(), 2U);
}

TEST_F(CalibrationFile, OfAnotherDeviceIsKeptInSilence) {
  Calibration other = measure(backend);
  other.identity.device = "gpu";
  write_calibrations(path, {&other, 1});
  load();
  EXPECT_THAT(notices, ElementsAre(HasSubstr("calibrating")));
  EXPECT_EQ(read().at("calibrations").size(), 2U);
}

TEST_F(CalibrationFile, OfAnotherSetOfKernelsIsRemade) {
  load();
  null::NullOptions options_without;
  options_without.without = {"gelu"};
  null::NullBackend fewer(options_without);
  EXPECT_FALSE(load_calibration(fewer, options()).has_value());
  EXPECT_THAT(notices.back(), HasSubstr("made for build"));
}

TEST_F(CalibrationFile, ThatCannotBeWrittenHoldsInMemoryAndSaysSo) {
  folder.write("cache", "a file where a folder should be");
  const Calibration calibration = load();
  EXPECT_EQ(calibration.costs, some_costs());
  EXPECT_EQ(calibration.path, "");
  EXPECT_THAT(notices, ElementsAre(HasSubstr("calibrating"),
                                   testing::AllOf(HasSubstr(path), HasSubstr("cannot make its folder"),
                                                  HasSubstr("holds for this run only"))));
}

TEST_F(CalibrationFile, ThatIsAFolderIsLeftAlone) {
  std::filesystem::create_directories(path + "/inside");
  EXPECT_EQ(load().path, "");
  EXPECT_THAT(notices, ElementsAre(HasSubstr("it is no regular file"), HasSubstr("calibrating"),
                                   HasSubstr("holds for this run only")));
  EXPECT_TRUE(std::filesystem::exists(path + "/inside"));
}

TEST_F(CalibrationFile, WritingLeavesNoTemporaryBehind) {
  load();
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path).parent_path()))
    files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 1U);
}

TEST(CalibrationPath, FollowsTheCacheFolderOfTheEnvironment) {
  const auto path_with = [](const char* cache, const char* home) {
    cache == nullptr ? ::unsetenv("XDG_CACHE_HOME") : ::setenv("XDG_CACHE_HOME", cache, 1);
    home == nullptr ? ::unsetenv("HOME") : ::setenv("HOME", home, 1);
    return default_calibration_path();
  };
  EXPECT_EQ(path_with("/tmp/cache", "/home/me"), "/tmp/cache/ingot/calibration-v1.json");
  EXPECT_EQ(path_with(nullptr, "/home/me"), "/home/me/.cache/ingot/calibration-v1.json");
  EXPECT_EQ(path_with("", "/home/me"), "/home/me/.cache/ingot/calibration-v1.json");
  EXPECT_EQ(path_with("relative", "/home/me"), "/home/me/.cache/ingot/calibration-v1.json");
  EXPECT_EQ(path_with(nullptr, nullptr), "");
}

TEST(Calibration, OfTheCpuHasRatesForEveryKernelThatModelsUse) {
  cpu::CpuBackend backend(1);
  const Calibration calibration = calibrate(backend);
  EXPECT_TRUE(calibration.is_new);
  EXPECT_EQ(calibration.identity.threads, 1);
  EXPECT_FALSE(calibration.identity.instruction_set.empty());
  EXPECT_LT(calibration.seconds, 60);
  EXPECT_TRUE(calibration.costs.shares_host_memory);
  EXPECT_GT(calibration.costs.launch_us, 0);
  const auto has = [&](std::string_view kernel, DType weight) {
    for (const KernelCosts& entry : calibration.costs.kernels) {
      if (entry.kernel == kernel && entry.weight == weight)
        return !entry.gbps.empty() || !entry.gflops.empty();
    }
    return false;
  };
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    EXPECT_TRUE(has("linear_decode", dtype)) << to_string(dtype);
    EXPECT_TRUE(has("linear_prefill", dtype)) << to_string(dtype);
    EXPECT_TRUE(has("embedding", dtype)) << to_string(dtype);
  }
  for (const char* kernel : {"attention_decode", "attention_prefill", "rms_norm", "layer_norm", "rope",
                             "silu", "gelu", "add", "mul", "sample"})
    EXPECT_TRUE(has(kernel, DType::f32)) << kernel;
  // What was measured passes its own checks.
  const std::vector<Calibration> read = parse_calibrations(calibrations_text({&calibration, 1}));
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].costs, calibration.costs);
}

TEST(Calibration, OfABackendThatRunsNothingHasRatesInRange) {
  null::NullBackend backend;
  const Calibration calibration = calibrate(backend);
  EXPECT_NO_THROW(parse_calibrations(calibrations_text({&calibration, 1})));
}

}  // namespace
}  // namespace ingot::exec
