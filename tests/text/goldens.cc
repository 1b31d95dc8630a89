// Every kind of tokenizer against the Hugging Face package: tools/tokenizer_goldens.py wrote the expected
// values.
#include <gtest/gtest.h>

#include "cases.h"

namespace ingot::text {
namespace {

TEST(TokenizerGoldens, EveryIdAndEveryDecodedTextEqualsTheHuggingFacePackage) {
  size_t files = 0;
  for (const auto& folder : folders_with("tokenizer.json"))
    files += check_cases(Tokenizer::load(folder.string()), folder);
  EXPECT_GE(files, full_cases() ? 1U : 22U);
}

}  // namespace
}  // namespace ingot::text
