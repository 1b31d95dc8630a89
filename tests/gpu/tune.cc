// Tuning changes speed alone: every form that a shape may have gives the same bits.
#include <gmock/gmock.h>

#include "gpu/gpu_test.h"
#include "serve/determinism_checks.h"

namespace ingot::serve {
namespace {

using backend::TunedForm;

class GpuTuning : public OnGpu<> {
 protected:
  StepperLimits limits() const { return world_.limits(1, world_.tokens); }
  /// The forms that the model's decode step was tuned to.
  std::vector<TunedForm> tuned() {
    Stepper stepper(world_.model, gpu(), Head::logits, limits());
    logits_of_first(stepper, {world_.first});
    std::vector<TunedForm> all;
    for (const auto& of_slice : stepper.runner().tune(1, stepper.last_dims()))
      all.insert(all.end(), of_slice.forms.begin(), of_slice.forms.end());
    return all;
  }
  const DeterminismWorld world_{"models/storyteller"};
};

TEST_F(GpuTuning, AllFormsGiveTheSameBits) {
  const std::vector<float> untuned = world_.logits(gpu(), limits(), {world_.first});
  std::vector<TunedForm> forms = tuned();
  ASSERT_GE(forms.size(), 4U);  // the linears of a layer, and the head
  EXPECT_TRUE(same_bits(world_.logits(gpu(), limits(), {world_.first}), untuned)) << "as tuned";
  for (const char* name : {"2 blocks, 8 outputs", "2 blocks, 16 outputs", "1 deep block, 8 outputs",
                           "1 deep block, 16 outputs"}) {
    for (TunedForm& form : forms) form.form = name;
    gpu().use_forms(forms);
    EXPECT_TRUE(same_bits(world_.logits(gpu(), limits(), {world_.first}), untuned)) << name;
  }
}

TEST_F(GpuTuning, WhatIsFoundIsInUseAndNeverSlowerThanTheRule) {
  const std::vector<TunedForm> forms = tuned();
  ASSERT_FALSE(forms.empty());
  EXPECT_EQ(gpu().forms().size(), forms.size());
  for (const TunedForm& form : forms) {
    EXPECT_GT(form.step_us, 0) << form.shape;
    EXPECT_LE(form.step_us, form.rule_us) << form.shape;
  }
}

TEST_F(GpuTuning, FormsThatThereAreNotAreRefused) {
  const std::vector<TunedForm> forms = {{.shape = "bf16 8 -> 8", .form = "oblique", .rule = {}}};
  try {
    gpu().use_forms(forms);
    FAIL() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(error.what(), testing::HasSubstr("'oblique'"));
  }
  EXPECT_TRUE(gpu().forms().empty());
}

}  // namespace
}  // namespace ingot::serve
