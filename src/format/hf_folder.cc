#include "format/hf_folder.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {
namespace {

namespace fs = std::filesystem;

constexpr auto kExpected =
    "expected a GGUF file, or a Hugging Face folder with config.json, model.safetensors (or "
    "model.safetensors.index.json and its shards) and tokenizer.json";

// Says what a path that is not a folder is, and what is expected instead.
[[noreturn]] void refuse_path(const std::string& path, const fs::file_status& status) {
  if (!fs::exists(status)) fail(ErrorCode::not_found, "{}: no such file or folder; {}", path, kExpected);
  if (!fs::is_regular_file(status)) fail(ErrorCode::unsupported, "{}: not a folder; {}", path, kExpected);
  if (path.ends_with(".safetensors")) {
    fail(ErrorCode::unsupported, "{}: a lone safetensors file; {}", path, kExpected);
  }
  fail(ErrorCode::unsupported, "{}: a single file; {}", path, kExpected);
}

// Shards lie in the folder itself: a name that leads elsewhere is refused before it reaches the file system.
bool is_plain_file_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(kForbidden) == std::string_view::npos;
}

}  // namespace

HfFolder HfFolder::open(const std::string& path, Copies copies) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::none) fail(ErrorCode::io, "{}: {}", path, error.message());
  if (!fs::is_directory(status)) refuse_path(path, status);

  HfFolder folder(path, path);
  const auto present = [&](std::string_view name) {
    const std::string file = folder.file_path(name);
    const bool exists = fs::exists(file, error);
    if (error) fail(ErrorCode::io, "{}: {}", file, error.message());
    return exists;
  };
  if (!present("config.json"))
    fail(ErrorCode::not_found, "{}: no config.json in the folder; {}", path, kExpected);
  folder.config_ = Config::read(folder.file_path("config.json"));
  if (present("generation_config.json")) {
    folder.generation_config_ = Config::read(folder.file_path("generation_config.json"));
  }

  // Where both are there, the single file counts, as in transformers.
  if (present("model.safetensors")) {
    folder.add_file("model.safetensors");
  } else if (present("model.safetensors.index.json")) {
    folder.read_index("model.safetensors.index.json");
  } else if (present("pytorch_model.bin") || present("pytorch_model.bin.index.json")) {
    fail(ErrorCode::unsupported, "{}: the weights are in pytorch_model.bin, which is not supported; {}", path,
         kExpected);
  } else {
    fail(ErrorCode::not_found,
         "{}: no model.safetensors and no model.safetensors.index.json in the folder; {}", path, kExpected);
  }
  for (Tensor& tensor : folder.tensors_) {
    if (!tensor.is_aligned()) folder.copy_later(tensor);
  }
  if (copies == Copies::now) folder.make_copies();
  return folder;
}

void HfFolder::add_file(const std::string& name) {
  const auto file = std::make_shared<const MappedFile>(file_path(name));
  Safetensors parsed = parse_safetensors(file->bytes(), file->path());
  files_.push_back(file);
  for (Tensor& tensor : parsed.tensors) {
    tensor.file = files_.size() - 1;
    add_tensor(std::move(tensor), "safetensors");
  }
}

void HfFolder::read_index(const std::string& index_name) {
  const Config index = Config::read(file_path(index_name));
  const auto weight_map = index.optional_object("weight_map");
  if (!weight_map || weight_map->keys().empty()) {
    index.refuse("weight_map", "expected an object of tensor names and their files, found none");
  }

  std::map<std::string, std::string> shard_of;  // tensor -> file name
  std::set<std::string> shards;
  for (const std::string& tensor : weight_map->keys()) {
    const std::string shard = weight_map->get_string(tensor);
    if (!is_plain_file_name(shard)) {
      weight_map->refuse(tensor, fmt::format("expected the name of a file in the same folder, found '{}'",
                                             printable(shard)));
    }
    std::error_code ignored;  // a name that no file can have is one that is missing
    if (shards.insert(shard).second && !fs::exists(file_path(shard), ignored)) {
      fail(ErrorCode::not_found, "{}: shard '{}' of tensor '{}' is missing in the folder", index.file(),
           printable(shard), printable(tensor));
    }
    shard_of.emplace(tensor, shard);
  }
  std::vector<std::string> names;
  for (const std::string& shard : shards) {
    add_file(shard);
    names.push_back(shard);
  }

  for (const Tensor& tensor : tensors_) {
    const auto entry = shard_of.find(tensor.name);
    if (entry == shard_of.end()) {
      fail(ErrorCode::invalid_file, "{}: shard '{}' holds tensor '{}', which the index omits", index.file(),
           names[tensor.file], printable(tensor.name));
    }
    if (entry->second != names[tensor.file]) {
      fail(ErrorCode::invalid_file, "{}: tensor '{}' is in shard '{}', the index says '{}'", index.file(),
           printable(tensor.name), names[tensor.file], printable(entry->second));
    }
    shard_of.erase(entry);
  }
  if (!shard_of.empty()) {
    const auto& [tensor, shard] = *shard_of.begin();
    fail(ErrorCode::invalid_file,
         "{}: the index says that tensor '{}' is in shard '{}', which does not hold it", index.file(),
         printable(tensor), printable(shard));
  }
}

}  // namespace ingot::format
