#include "api/quantize_source.h"

#include <filesystem>
#include <system_error>

#include "base/mapped_file.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "format/gguf_files.h"

namespace ingot::api {
namespace {

namespace fs = std::filesystem;

bool is_gguf_file(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  if (path.ends_with(format::kGgufSuffix)) return true;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
      .starts_with(format::kGgufMagic);
}

}  // namespace

std::unique_ptr<QuantizeSource> QuantizeSource::open(const std::string& path) {
  if (is_gguf_file(path)) return open_gguf_source(path);
  std::error_code ignored;
  if (fs::is_directory(path, ignored) && !fs::exists(fs::path(path) / "config.json", ignored)) {
    // A folder that holds a GGUF file; anything else is refused there.
    const auto checkpoint = format::Checkpoint::open(path, format::Copies::later);
    if (checkpoint->gguf() != nullptr) return open_gguf_source(checkpoint->path());
  }
  return open_hf_source(path);
}

}  // namespace ingot::api
