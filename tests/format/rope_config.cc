#include "format/rope_config.h"

#include <cmath>

#include "format/fixtures.h"

namespace ingot::format {
namespace {

using Kind = RopeConfig::Kind;

RopeConfig read(std::string_view text, double default_theta = 10000) {
  return read_rope_config(Config::parse(text, "config.json"), default_theta);
}

void expect_invalid(const std::string& text, const std::string& message) {
  expect_error(ErrorCode::invalid_file, message, [&] { read(text); });
}

TEST(RopeConfig, WithoutSettingsTheDefaultsHold) {
  EXPECT_EQ(read("{}"), RopeConfig{});
  EXPECT_EQ(read(R"({"rope_scaling":null,"rope_parameters":null})"), RopeConfig{});
  EXPECT_EQ(read("{}", 1e6).theta, 1e6);
}

TEST(RopeConfig, ThetaComesFromTheSectionThenTheTopThenTheDefault) {
  EXPECT_EQ(read(R"({"rope_theta":5e5})", 1e6).theta, 5e5);
  EXPECT_EQ(read(R"({"rope_theta":5e5,"rope_parameters":{"rope_type":"default"}})").theta, 5e5);
  EXPECT_EQ(read(R"({"rope_theta":5e5,"rope_parameters":{"rope_type":"default","rope_theta":7}})").theta, 7);
}

TEST(RopeConfig, BothGenerationsOfEveryKindAreEqual) {
  const std::string scalings[] = {
      R"("linear","factor":2.5)",
      R"("llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192)",
      R"("yarn","factor":4,"original_max_position_embeddings":32768,"beta_fast":16,"beta_slow":2,"attention_factor":1.25,)"
      R"("mscale":0.707,"mscale_all_dim":0.5,"truncate":false)"};
  const Kind kinds[] = {Kind::linear, Kind::llama3, Kind::yarn};
  for (size_t i = 0; i < 3; ++i) {
    const RopeConfig old_type = read(R"({"rope_theta":12.5,"rope_scaling":{"type":)" + scalings[i] + "}}");
    const RopeConfig old_rope_type =
        read(R"({"rope_theta":12.5,"rope_scaling":{"rope_type":)" + scalings[i] + "}}");
    const RopeConfig parameters =
        read(R"({"rope_parameters":{"rope_theta":12.5,"rope_type":)" + scalings[i] + "}}");
    EXPECT_EQ(parameters.kind, kinds[i]);
    EXPECT_EQ(parameters.theta, 12.5);
    EXPECT_EQ(old_type, parameters);
    EXPECT_EQ(old_rope_type, parameters);
  }
}

TEST(RopeConfig, RopeTypeWinsOverType) {
  EXPECT_EQ(read(R"({"rope_scaling":{"type":"yarn","rope_type":"linear","factor":2}})").kind, Kind::linear);
}

TEST(RopeConfig, NonEmptyRopeScalingWinsOverRopeParameters) {
  EXPECT_EQ(
      read(R"({"rope_scaling":{"type":"linear","factor":2},"rope_parameters":{"rope_type":"default"}})").kind,
      Kind::linear);
  EXPECT_EQ(read(R"({"rope_scaling":{},"rope_parameters":{"rope_type":"linear","factor":3}})").factor, 3);
}

TEST(RopeConfig, EveryFieldOfYarnIsRead) {
  const RopeConfig rope = read(
      R"({"rope_parameters":{"rope_theta":1e6,"rope_type":"yarn","factor":4,"original_max_position_embeddings":4096,
          "beta_fast":16,"beta_slow":2,"attention_factor":1.25,"mscale":0.7,"mscale_all_dim":0.5,"truncate":false,
          "partial_rotary_factor":0.25}})");
  EXPECT_EQ(rope.kind, Kind::yarn);
  EXPECT_EQ(rope.theta, 1e6);
  EXPECT_EQ(rope.factor, 4);
  EXPECT_EQ(rope.original_max_position, 4096);
  EXPECT_EQ(rope.beta_fast, 16);
  EXPECT_EQ(rope.beta_slow, 2);
  EXPECT_EQ(rope.attention_factor, 1.25);
  EXPECT_EQ(rope.mscale, 0.7);
  EXPECT_EQ(rope.mscale_all_dim, 0.5);
  EXPECT_FALSE(rope.truncate);
  EXPECT_EQ(rope.partial_rotary_factor, 0.25);
  EXPECT_EQ(rope.attention_scale(), 1.25);
}

TEST(RopeConfig, EveryFieldOfLlama3IsRead) {
  const RopeConfig rope = read(
      R"({"rope_theta":5e5,"rope_scaling":{"rope_type":"llama3","factor":32,"low_freq_factor":1.5,
          "high_freq_factor":5,"original_max_position_embeddings":8192}})");
  EXPECT_EQ(rope.kind, Kind::llama3);
  EXPECT_EQ(rope.theta, 5e5);
  EXPECT_EQ(rope.factor, 32);
  EXPECT_EQ(rope.low_freq_factor, 1.5);
  EXPECT_EQ(rope.high_freq_factor, 5);
  EXPECT_EQ(rope.original_max_position, 8192);
  EXPECT_EQ(rope.attention_scale(), 1);
}

TEST(RopeConfig, YarnWithoutOptionsTakesThePapersDefaults) {
  const RopeConfig rope = read(
      R"({"max_position_embeddings":64,"rope_scaling":{"type":"yarn","factor":4,"beta_fast":0,"beta_slow":null}})");
  EXPECT_EQ(rope.original_max_position, 64);
  EXPECT_EQ(rope.beta_fast, 32);
  EXPECT_EQ(rope.beta_slow, 1);
  EXPECT_TRUE(rope.truncate);
  EXPECT_DOUBLE_EQ(rope.attention_scale(), 0.1 * std::log(4.0) + 1);
}

TEST(RopeConfig, YarnWithoutFactorTakesTheRatioOfTheContexts) {
  const RopeConfig rope = read(
      R"({"max_position_embeddings":96,"rope_scaling":{"type":"yarn","factor":null,"original_max_position_embeddings":64}})");
  EXPECT_EQ(rope.factor, 1.5);
}

TEST(RopeConfig, YarnAttentionScaleTakesMscaleOnlyWithItsCounterpart) {
  const std::string head = R"({"max_position_embeddings":64,"rope_scaling":{"type":"yarn","factor":40,)";
  EXPECT_DOUBLE_EQ(read(head + R"("mscale":0.5,"mscale_all_dim":2}})").attention_scale(),
                   (0.05 * std::log(40.0) + 1) / (0.2 * std::log(40.0) + 1));
  EXPECT_DOUBLE_EQ(read(head + R"("mscale":0.5}})").attention_scale(), 0.1 * std::log(40.0) + 1);
  EXPECT_DOUBLE_EQ(read(head + R"("mscale":0.5,"mscale_all_dim":0}})").attention_scale(),
                   0.1 * std::log(40.0) + 1);
}

TEST(RopeConfig, OuterOriginalContextWins) {
  EXPECT_EQ(read(R"({"original_max_position_embeddings":32,"max_position_embeddings":128,
                     "rope_scaling":{"type":"yarn","factor":2,"original_max_position_embeddings":64}})")
                .original_max_position,
            32);
}

TEST(RopeConfig, OtherKindsAreUnsupportedAndTheSupportedListed) {
  for (const std::string kind : {"dynamic", "longrope", "su", "mrope", ""}) {
    expect_error(ErrorCode::unsupported,
                 "config.json: rope_scaling: rope type '" + kind +
                     "' is not supported; supported: default, linear, llama3, yarn",
                 [&] { read(R"({"rope_scaling":{"factor":2,"type":")" + kind + "\"}}"); });
  }
}

TEST(RopeConfig, SettingsPerLayerTypeAreUnsupported) {
  expect_error(ErrorCode::unsupported,
               "config.json: rope_parameters: settings per layer type ('sliding_attention')",
               [] { read(R"({"rope_parameters":{"sliding_attention":{"rope_type":"default"}}})"); });
}

TEST(RopeConfig, MissingAndWrongValuesAreNamed) {
  expect_invalid(R"({"rope_theta":0})", "config.json: key 'rope_theta': expected a number between 1e-06");
  expect_invalid(R"({"rope_theta":"x"})", "config.json: key 'rope_theta'");
  expect_invalid(R"({"rope_scaling":3})", "config.json: key 'rope_scaling': expected an object, found 3");
  expect_invalid(R"({"rope_scaling":{"type":1}})",
                 "config.json: rope_scaling: key 'type': expected a string, found 1");
  expect_invalid(R"({"rope_scaling":{"type":"linear"}})",
                 "config.json: rope_scaling: key 'factor': expected a number");
  expect_invalid(R"({"rope_scaling":{"type":"linear","factor":-1}})", "found -1");
  expect_invalid(R"({"rope_scaling":{"type":"llama3","factor":8,"high_freq_factor":4}})",
                 "key 'low_freq_factor'");
  expect_invalid(R"({"rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4}})",
                 "key 'high_freq_factor': expected more than low_freq_factor (4), found 4");
  expect_invalid(R"({"rope_scaling":{"type":"yarn","factor":8}})",
                 "config.json: key 'max_position_embeddings': expected an integer");
  expect_invalid(R"({"max_position_embeddings":8,"rope_scaling":{"type":"yarn","factor":8,"beta_slow":33}})",
                 "key 'beta_fast': expected at least beta_slow (33), found 32");
  expect_invalid(R"({"max_position_embeddings":8,"rope_theta":1,"rope_scaling":{"type":"yarn","factor":8}})",
                 "key 'rope_theta': expected more than 1 for yarn, found 1");
  expect_invalid(R"({"partial_rotary_factor":1.5})", "key 'partial_rotary_factor'");
}

}  // namespace
}  // namespace ingot::format
