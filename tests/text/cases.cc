#include "cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/check.h"
#include "format/json.h"
#include "text/utf8.h"

namespace ingot::text {
namespace {

using nlohmann::json;

constexpr const char* kFullCases = "INGOT_TOKENIZER_CASES";

std::string input_of(const json& expected) {
  if (expected.contains("text")) return expected["text"];
  const std::string hex = expected["hex"];
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special_tokens) {
  StreamDecoder decoder(tokenizer, skip_special_tokens);
  std::string out;
  for (const int32_t id : ids) {
    const std::string part = decoder.push(id);
    EXPECT_EQ(valid_utf8_prefix(part), part.size()) << "half a character";
    out += part;
  }
  return out + decoder.finish();
}

// What differs from the expected values of one case, or nothing. A case has those that its source knows.
std::string differences(const Tokenizer& tokenizer, const json& expected) {
  std::string out;
  const auto compare = [&](std::string_view what, const json& wanted, const json& found) {
    if (wanted != found)
      out += fmt::format("\n  {}: expected {}\n  found {}", what, wanted.dump(), found.dump());
  };
  if (!expected.contains("decode")) {
    const std::string text = input_of(expected);
    if (expected.contains("ids")) compare("ids", expected["ids"], tokenizer.encode(text));
    compare("ids without special tokens", expected.contains("plain") ? expected["plain"] : expected["ids"],
            tokenizer.encode(text, /*add_special_tokens=*/false));
  }
  if (!expected.contains("decoded")) return out;
  const auto ids = expected[expected.contains("decode") ? "decode" : "ids"].get<std::vector<int32_t>>();
  const std::string everything = expected.value("decoded_all", expected["decoded"].get<std::string>());
  compare("decoded", expected["decoded"], tokenizer.decode(ids));
  compare("decoded with special tokens", everything, tokenizer.decode(ids, /*skip_special_tokens=*/false));
  compare("streamed", expected["decoded"], streamed(tokenizer, ids, true));
  compare("streamed with special tokens", everything, streamed(tokenizer, ids, false));
  return out;
}

struct Count {
  size_t cases = 0;
  size_t wrong = 0;
};

Count check_file(const Tokenizer& tokenizer, const std::filesystem::path& file) {
  Count count;
  std::ifstream lines(file);
  std::string line;
  while (std::getline(lines, line)) {
    ++count.cases;
    const std::string found = differences(tokenizer, json::parse(line));
    if (found.empty()) continue;
    if (++count.wrong <= 5) ADD_FAILURE() << file << ": " << line.substr(0, 300) << found.substr(0, 2000);
  }
  return count;
}

}  // namespace

bool full_cases() {
  return std::getenv(kFullCases) != nullptr;
}

std::vector<std::filesystem::path> folders_with(const char* file) {
  const char* folder = std::getenv(kFullCases);
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(
           folder != nullptr ? folder : INGOT_SOURCE_DIR "/tests/data/tokenizers")) {
    if (std::filesystem::exists(entry.path() / file)) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

size_t check_cases(const Tokenizer& tokenizer, const std::filesystem::path& folder) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    ++files;
    const Count count = check_file(tokenizer, entry.path());
    EXPECT_EQ(count.wrong, 0U) << entry.path() << ": of " << count.cases << " cases";
    EXPECT_GE(count.cases, 10U) << entry.path();
    if (full_cases()) {
      fmt::print("{}: {} cases, {} wrong\n", entry.path().string(), count.cases, count.wrong);
    }
  }
  return files;
}

}  // namespace ingot::text
