// When tuned forms are kept, taken and ignored.
#include "exec/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "backend/null/null_backend.h"
#include "base/check.h"
#include "format/fixtures.h"

namespace ingot::exec {
namespace {

using backend::TunedForm;
using format::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Has the forms "wide" and "deep" of everything.
class BackendOfForms : public null::NullBackend {
 public:
  void use_forms(std::span<const TunedForm> forms) override {
    for (const TunedForm& form : forms) {
      if (form.form != "wide" && form.form != "deep")
        fail(ErrorCode::invalid_argument, "form of {}: there is no '{}'", form.shape, form.form);
    }
    used.assign(forms.begin(), forms.end());
  }
  std::vector<TunedForm> used;
};

TunedForm form_of(std::string shape, std::string form) {
  return {.shape = std::move(shape), .form = std::move(form), .rule = "wide", .step_us = 1.5, .rule_us = 2};
}

class TuningFile : public testing::Test {
 protected:
  TuningOptions options() {
    return {.path = path, .notice = [this](std::string_view line) { notices.emplace_back(line); }};
  }
  std::string keep(std::vector<TunedForm> forms) { return keep_tuning(backend, forms, options()); }
  /// What a backend uses that is made now, as "shape=form".
  std::vector<std::string> loaded() {
    BackendOfForms later;
    load_tuning(later, options());
    std::vector<std::string> names;
    for (const TunedForm& form : later.used) names.push_back(form.shape + "=" + form.form);
    return names;
  }
  std::string text() {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  void replace(const std::string& from, const std::string& to) {
    std::string changed = text();
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos);
    write(changed.replace(at, from.size(), to));
  }

  TempFolder folder;
  std::string path = folder.path() + "/cache/ingot/tuning-v1.json";
  BackendOfForms backend;
  std::vector<std::string> notices;
};

TEST_F(TuningFile, WhatWasFoundIsUsedByLaterRuns) {
  EXPECT_THAT(loaded(), IsEmpty());
  EXPECT_EQ(keep({form_of("a", "deep"), form_of("b", "wide")}), path);
  EXPECT_THAT(loaded(), ElementsAre("a=deep", "b=wide"));
  EXPECT_THAT(notices, IsEmpty());
}

TEST_F(TuningFile, OtherShapesStayAndTheSameShapesAreReplaced) {
  keep({form_of("a", "deep"), form_of("b", "wide")});
  keep({form_of("b", "deep"), form_of("c", "deep")});
  EXPECT_THAT(loaded(), ElementsAre("b=deep", "c=deep", "a=deep"));
}

TEST_F(TuningFile, ReadsBackWhatWasWritten) {
  keep({form_of("a", "deep")});
  const std::vector<Tuning> tunings = parse_tunings(text());
  ASSERT_EQ(tunings.size(), 1U);
  EXPECT_EQ(tunings[0].identity, identity_of(backend));
  ASSERT_EQ(tunings[0].forms.size(), 1U);
  EXPECT_EQ(tunings[0].forms[0].rule, "wide");
  EXPECT_EQ(tunings[0].forms[0].step_us, 1.5);
  EXPECT_EQ(tunings[0].forms[0].rule_us, 2);
  EXPECT_EQ(tunings_text(tunings), text());
}

TEST_F(TuningFile, AnotherBuildIsIgnoredAndThenReplaced) {
  keep({form_of("a", "deep")});
  replace("ingot ", "ingot-of-old ");
  EXPECT_THAT(loaded(), IsEmpty());
  EXPECT_THAT(notices,
              ElementsAre(testing::AllOf(HasSubstr(path), HasSubstr("ignored: it was made for build"))));
  keep({form_of("b", "deep")});
  EXPECT_THAT(loaded(), ElementsAre("b=deep"));
}

TEST_F(TuningFile, AnotherDevicesEntryStays) {
  keep({form_of("a", "deep")});
  replace("\"device\": \"null\"", "\"device\": \"other\"");
  EXPECT_THAT(loaded(), IsEmpty());
  EXPECT_THAT(notices, IsEmpty());
  keep({form_of("b", "deep")});
  EXPECT_EQ(parse_tunings(text()).size(), 2U);
}

TEST_F(TuningFile, AFormThatThereIsNotIsIgnoredAndSaid) {
  keep({form_of("a", "oblique")});
  EXPECT_THAT(loaded(), IsEmpty());
  EXPECT_THAT(notices, ElementsAre(HasSubstr("ignored: form of a: there is no 'oblique'")));
}

TEST_F(TuningFile, DamageIsIgnoredAndSaid) {
  keep({form_of("a", "deep")});
  const std::string whole = text();
  for (const auto& [from, to, why] : std::initializer_list<std::array<std::string, 3>>{
           {"\"version\": 1", "\"version\": 7", "expected version 1"},
           {"\"form\": \"deep\"", "\"form\": 3", "tuning.forms.form: expected text"},
           {"\"step_us\": 1.5", "\"step_us\": -1", "tuning.forms.step_us: expected a number"},
           {"\"forms\": [", "\"forms\": 5, \"x\": [", "tuning.forms: expected a list"},
           {"{", "", "it is no JSON"}}) {
    SCOPED_TRACE(why);
    write(whole);
    replace(from, to);
    notices.clear();
    EXPECT_THAT(loaded(), IsEmpty());
    EXPECT_THAT(notices, ElementsAre(testing::AllOf(HasSubstr(path), HasSubstr("ignored: " + why))));
  }
}

TEST_F(TuningFile, WhereItCannotBeWrittenItHoldsForTheRun) {
  std::ofstream(folder.path() + "/cache") << "in the way";
  EXPECT_EQ(keep({form_of("a", "deep")}), "");
  EXPECT_THAT(notices, ElementsAre(HasSubstr("it holds for this run only")));
}

}  // namespace
}  // namespace ingot::exec
