#include "format/config.h"

#include "format/fixtures.h"

namespace ingot::format {
namespace {

Config config(std::string_view text) {
  return Config::parse(text, "config.json");
}

template <typename Function>
void expect_invalid(const std::string& message, Function function) {
  expect_error(ErrorCode::invalid_file, message, function);
}

TEST(Config, ReadsEveryType) {
  const Config c = config(R"({"i":7,"d":0.5,"b":true,"s":"x","l":["a","b"],"n":null,"o":{"k":1}})");
  EXPECT_EQ(c.get_int("i", 1, 7), 7);
  EXPECT_EQ(c.get_double("d", 0, 1), 0.5);
  EXPECT_EQ(c.get_double("i", 0, 10), 7.0);
  EXPECT_TRUE(c.get_bool("b"));
  EXPECT_EQ(c.get_string("s"), "x");
  EXPECT_EQ(c.get_string_list("l"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.optional_object("o").value().get_int("k", 0, 1), 1);
  EXPECT_EQ(c.keys(), (std::vector<std::string>{"b", "d", "i", "l", "n", "o", "s"}));
}

TEST(Config, AbsentAndNullKeysTakeTheFallback) {
  const Config c = config(R"({"n":null})");
  for (const char* key : {"n", "absent"}) {
    EXPECT_FALSE(c.has(key));
    EXPECT_EQ(c.get_int_or(key, 5, 0, 10), 5);
    EXPECT_EQ(c.get_double_or(key, 0.5, 0, 1), 0.5);
    EXPECT_TRUE(c.get_bool_or(key, true));
    EXPECT_EQ(c.get_string_or(key, "f"), "f");
    EXPECT_EQ(c.optional_int(key, 0, 1), std::nullopt);
    EXPECT_EQ(c.optional_double(key, 0, 1), std::nullopt);
    EXPECT_EQ(c.optional_bool(key), std::nullopt);
    EXPECT_EQ(c.optional_string(key), std::nullopt);
    EXPECT_FALSE(c.optional_object(key));
    EXPECT_TRUE(c.get_int_list(key, 0, 1).empty());
    EXPECT_TRUE(c.get_string_list(key).empty());
  }
}

TEST(Config, MissingKeyIsNamedWithFileAndExpectation) {
  const Config c = config(R"({"n":null})");
  expect_invalid("config.json: key 'hidden_size': expected an integer between 1 and 65536, found no such key",
                 [&] { c.get_int("hidden_size", 1, 65536); });
  expect_invalid("config.json: key 'n': expected a number between 0 and 1.5",
                 [&] { c.get_double("n", 0, 1.5); });
  expect_invalid("config.json: key 'x': expected true or false, found no such key", [&] { c.get_bool("x"); });
  expect_invalid("config.json: key 'x': expected a string, found no such key", [&] { c.get_string("x"); });
}

TEST(Config, IntegersRefuseFractionsOtherTypesAndValuesOutsideTheRange) {
  const Config c = config(
      R"({"f":64.0,"e":1e3,"s":"64","b":true,"low":0,"high":65,"min":-9223372036854775808,"big":9223372036854775808,
          "huge":99999999999999999999,"l":[1]})");
  const auto expect_found = [&](const char* key, const std::string& found) {
    const std::string message =
        "config.json: key '" + std::string(key) + "': expected an integer between 1 and 64, found " + found;
    expect_invalid(message, [&] { c.get_int(key, 1, 64); });
    expect_invalid(message, [&] { c.get_int_or(key, 1, 1, 64); });
    expect_invalid(message, [&] { c.optional_int(key, 1, 64); });
  };
  expect_found("f", "64.0");
  expect_found("e", "1000.0");
  expect_found("s", R"("64")");
  expect_found("b", "true");
  expect_found("low", "0");
  expect_found("high", "65");
  expect_found("min", "-9223372036854775808");
  expect_found("big", "9223372036854775808");
  expect_found("huge", "1e+20");
  expect_found("l", "[1]");
  EXPECT_EQ(c.get_int("min", INT64_MIN, INT64_MAX), INT64_MIN);
  expect_invalid("found 9223372036854775808", [&] { c.get_int("big", INT64_MIN, INT64_MAX); });
}

TEST(Config, OtherTypesAreNamedWithWhatWasFound) {
  const Config c = config(R"({"i":1,"s":"x","d":2.5,"o":{},"m":["a",1]})");
  expect_invalid("config.json: key 's': expected a number between 0 and 1, found \"x\"",
                 [&] { c.get_double("s", 0, 1); });
  expect_invalid("config.json: key 'd': expected a number between 0 and 1, found 2.5",
                 [&] { c.get_double("d", 0, 1); });
  expect_invalid("config.json: key 'i': expected true or false, found 1", [&] { c.get_bool("i"); });
  expect_invalid("config.json: key 'i': expected a string, found 1", [&] { c.get_string("i"); });
  expect_invalid("config.json: key 'i': expected an object, found 1", [&] { c.optional_object("i"); });
  expect_invalid("config.json: key 's': expected a list of strings, found \"x\"",
                 [&] { c.get_string_list("s"); });
  expect_invalid("config.json: key 'm': expected a list of strings, found 1",
                 [&] { c.get_string_list("m"); });
}

TEST(Config, LongValuesAreCutInMessages) {
  const Config c = config(R"({"s":")" + std::string(100'000, 'x') + R"("})");
  try {
    c.get_int("s", 0, 1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 300U);
  }
}

TEST(Config, IntegerOrListIsAlwaysAList) {
  const Config c = config(R"({"one":2,"many":[1,2,3],"none":[],"bad":[1,"x"],"out":[1,99]})");
  EXPECT_EQ(c.get_int_list("one", 0, 9), (std::vector<int64_t>{2}));
  EXPECT_EQ(c.get_int_list("many", 0, 9), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_TRUE(c.get_int_list("none", 0, 9).empty());
  expect_invalid("key 'bad': expected an integer between 0 and 9, or a list of them, found \"x\"",
                 [&] { c.get_int_list("bad", 0, 9); });
  expect_invalid("key 'out': expected an integer between 0 and 9, or a list of them, found 99",
                 [&] { c.get_int_list("out", 0, 9); });
}

TEST(Config, NestedObjectOutlivesItsParentAndNamesItsPlace) {
  std::optional<Config> nested;
  {
    const Config c = config(R"({"rope_scaling":{"factor":"8"}})");
    nested = c.optional_object("rope_scaling");
  }
  expect_invalid("config.json: rope_scaling: key 'factor': expected a number between 1 and 64, found \"8\"",
                 [&] { nested.value().get_double("factor", 1, 64); });
}

TEST(Config, TextThatIsNoObjectIsAnError) {
  expect_invalid("config.json: expected a JSON object, found [1]", [] { config("[1]"); });
  expect_invalid("config.json: not valid JSON", [] { config("{"); });
  expect_invalid("config.json: not valid JSON", [] { config(""); });
  expect_invalid("config.json: not valid JSON", [] { config("{\"a\":NaN}"); });
  expect_invalid("config.json: not valid JSON", [] { config("{\"a\":1e999}"); });
  expect_invalid("config.json: JSON object repeats the key 'a'", [] { config(R"({"a":1,"a":2})"); });
  expect_invalid("config.json: JSON is nested deeper than 64 levels",
                 [] { config(std::string(100'000, '[')); });
}

TEST(Config, FileIsNamedByItsPath) {
  const TempFolder folder;
  const std::string path = folder.write("config.json", R"({"hidden_size":0})");
  expect_invalid(path + ": key 'hidden_size': expected an integer between 1 and 8, found 0",
                 [&] { Config::read(path).get_int("hidden_size", 1, 8); });
  expect_error(ErrorCode::not_found, folder.path() + "/no.json: cannot open the file",
               [&] { Config::read(folder.path() + "/no.json"); });
}

TEST(Config, EmptyConfigHasNoKeys) {
  const Config none;
  EXPECT_TRUE(none.keys().empty());
  EXPECT_EQ(none.get_int_or("x", 3, 0, 9), 3);
}

}  // namespace
}  // namespace ingot::format
