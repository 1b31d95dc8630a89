#include "api/stop_strings.h"

#include <gtest/gtest.h>

namespace ingot::api {
namespace {

/// All that comes out of these pieces.
std::string stream(std::vector<std::string> stops, const std::vector<std::string>& pieces,
                   bool* found = nullptr) {
  StopStrings strings(std::move(stops));
  std::string out;
  for (const std::string& piece : pieces) out += strings.push(piece);
  if (found != nullptr) *found = strings.found();
  return out + strings.finish();
}

TEST(StopStrings, WithoutOneEverythingPassesAtOnce) {
  StopStrings none({});
  EXPECT_EQ(none.push("abc"), "abc");
  EXPECT_EQ(none.finish(), "");
}

TEST(StopStrings, TextEndsBeforeTheFirstInTheTextNotInTheList) {
  bool found = false;
  EXPECT_EQ(stream({"four", "two"}, {"one two three four"}, &found), "one ");
  EXPECT_TRUE(found);
}

TEST(StopStrings, OneSpreadOverPiecesIsFoundWhereverTheyAreCut) {
  const std::string text = "abcSTOPdef";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      const std::vector<std::string> pieces = {text.substr(0, first), text.substr(first, second - first),
                                               text.substr(second)};
      EXPECT_EQ(stream({"STOP"}, pieces), "abc") << first << " " << second;
    }
  }
}

TEST(StopStrings, WhatOnlyBeginsOneIsHeldBackAndThenGiven) {
  StopStrings strings({"<end>"});
  EXPECT_EQ(strings.push("a <e"), "a ");
  EXPECT_EQ(strings.push("n"), "");
  EXPECT_EQ(strings.push("ough"), "<enough");
  EXPECT_EQ(strings.push("<en"), "");
  EXPECT_EQ(strings.finish(), "<en");
  EXPECT_FALSE(strings.found());
}

TEST(StopStrings, OneThatRepeatsItsBeginningIsFound) {
  EXPECT_EQ(stream({"aab"}, {"a", "a", "a", "b", "c"}), "a");
  EXPECT_EQ(stream({"abab", "bb"}, {"a", "b", "a", "a", "b", "a", "b"}), "aba");
}

TEST(StopStrings, NothingPassesAfterOneWasFound) {
  StopStrings strings({"x"});
  EXPECT_EQ(strings.push("ax"), "a");
  EXPECT_EQ(strings.push("more"), "");
  EXPECT_EQ(strings.finish(), "");
}

TEST(StopStrings, HeldBackTextIsWholeCharacters) {
  // The euro sign, E2 82 AC; the stop string is its last byte, then "x".
  StopStrings strings({"\xACx"});
  EXPECT_EQ(strings.push("1 \xE2\x82\xAC"), "1 ");
  EXPECT_EQ(strings.push("y"), "\xE2\x82\xACy");
}

}  // namespace
}  // namespace ingot::api
