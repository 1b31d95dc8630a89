#include "format/gguf_checkpoint.h"

#include <filesystem>

#include "base/check.h"
#include "format/gguf_config.h"
#include "format/gguf_files.h"
#include "format/gguf_names.h"
#include "format/json.h"

namespace ingot::format {
namespace {

/// Rows of one head of a tensor that makes queries or keys.
int64_t read_head_rows(const Config& config, HeadRows kind, const Tensor& tensor) {
  const int64_t query_heads = config.get_int("num_attention_heads", 1, INT32_MAX);
  const int64_t heads = kind == HeadRows::queries
                            ? query_heads
                            : config.get_int_or("num_key_value_heads", query_heads, 1, INT32_MAX);
  const int64_t rows = tensor.shape.front();
  if (rows % heads != 0 || rows / heads % 2 != 0) {
    fail(ErrorCode::invalid_file,
         "{}: tensor '{}': expected an even number of rows for each of {} heads, found {}", config.file(),
         printable(tensor.name), heads, rows);
  }
  return rows / heads;
}

}  // namespace

GgufCheckpoint GgufCheckpoint::open(const std::string& path, Copies copies) {
  GgufFiles stored = GgufFiles::open(path);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  GgufCheckpoint checkpoint(path, folder.empty() ? "." : folder);
  const GgufArchitecture& architecture = read_gguf_architecture(stored.metadata);
  checkpoint.config_ = translate_config(stored.metadata, architecture, stored.tensors);
  checkpoint.generation_config_ = translate_generation_config(stored.metadata);
  checkpoint.gguf_ = stored.metadata;
  checkpoint.files_ = std::move(stored.files);
  for (Tensor& tensor : stored.tensors) {
    // The config holds what it says.
    if (architecture.neighbour_rows && tensor.name == "rope_freqs.weight") continue;
    auto translated = hf_tensor_name(architecture, tensor.name);
    // A name of no counterpart stays: a model that takes it does not exist, and says so.
    if (translated) {
      const HeadRows rows = architecture.neighbour_rows ? translated->rows : HeadRows::none;
      const int64_t head_rows = rows == HeadRows::none ? 0 : read_head_rows(checkpoint.config_, rows, tensor);
      tensor.name = std::move(translated->name);
      if (rows != HeadRows::none) {
        checkpoint.copy_later(tensor, RowOrder::to_halves, head_rows);
      } else if (!tensor.is_aligned()) {
        checkpoint.copy_later(tensor);
      }
    }
    checkpoint.add_tensor(std::move(tensor), "gguf");
  }
  if (copies == Copies::now) checkpoint.make_copies();
  return checkpoint;
}

}  // namespace ingot::format
