#include "api/load_tokenizer.h"

#include <filesystem>
#include <system_error>

#include "text/gguf_tokenizer.h"

namespace ingot::api {

std::unique_ptr<text::Tokenizer> load_tokenizer(const format::Checkpoint& checkpoint) {
  using text::Tokenizer;
  const std::filesystem::path json = checkpoint.file_path("tokenizer.json");
  if (checkpoint.gguf() != nullptr) {
    if (text::has_vocabulary(*checkpoint.gguf())) {
      return std::make_unique<Tokenizer>(Tokenizer::from_gguf(*checkpoint.gguf(), checkpoint.path()));
    }
    std::error_code ignored;
    if (!std::filesystem::exists(json, ignored)) return nullptr;
  }
  return std::make_unique<Tokenizer>(Tokenizer::load(json.parent_path().string()));
}

}  // namespace ingot::api
