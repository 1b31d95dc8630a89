#include "api/load_tokenizer.h"

#include <filesystem>
#include <system_error>

namespace ingot::api {

std::unique_ptr<text::Tokenizer> load_tokenizer(const format::Checkpoint& checkpoint) {
  const std::filesystem::path beside = checkpoint.file_path("tokenizer.json");
  std::error_code ignored;
  if (checkpoint.gguf() != nullptr && !std::filesystem::exists(beside, ignored)) return nullptr;
  return std::make_unique<text::Tokenizer>(text::Tokenizer::load(beside.parent_path().string()));
}

}  // namespace ingot::api
