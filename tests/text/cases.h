// The cases that tools/tokenizer_goldens.py wrote: a folder a kind of tokenizer, with texts, their ids and
// what the ids decode to, as the Hugging Face package has it.
#pragma once

#include <filesystem>
#include <vector>

#include "text/tokenizer.h"

namespace ingot::text {

/// Whether INGOT_TOKENIZER_CASES names a folder that the script's --full mode wrote.
bool full_cases();

/// The folders with such a file ("tokenizer.json", "vocab.gguf"), sorted.
std::vector<std::filesystem::path> folders_with(const char* file);

/// Runs all cases of a folder, with a test failure for those that differ. Returns the number of case files.
size_t check_cases(const Tokenizer& tokenizer, const std::filesystem::path& folder);

}  // namespace ingot::text
