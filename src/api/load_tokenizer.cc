#include "api/load_tokenizer.h"

#include <filesystem>
#include <system_error>

#include "text/gguf_tokenizer.h"

namespace ingot::api {

std::unique_ptr<text::Tokenizer> load_tokenizer(const format::Checkpoint& checkpoint) {
  const format::GgufMetadata* gguf = checkpoint.gguf();
  if (gguf != nullptr && text::has_vocabulary(*gguf))
    return std::make_unique<text::Tokenizer>(text::Tokenizer::from_gguf(*gguf, gguf->file()));
  const std::filesystem::path beside = checkpoint.file_path("tokenizer.json");
  std::error_code ignored;
  if (gguf != nullptr && !std::filesystem::exists(beside, ignored)) return nullptr;
  return std::make_unique<text::Tokenizer>(text::Tokenizer::load(beside.parent_path().string()));
}

}  // namespace ingot::api
