#include "format/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>

#include "base/check.h"
#include "base/cpu_count.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "format/gguf.h"
#include "format/gguf_checkpoint.h"
#include "format/gguf_files.h"
#include "format/hf_folder.h"
#include "format/json.h"

namespace ingot::format {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyAlignment = 64;                   // a cache line
constexpr size_t kCopyChunkBytes = size_t{256} << 10;   // that a thread takes at once
constexpr size_t kParallelCopyBytes = size_t{4} << 20;  // below, starting threads takes longer

bool is_gguf(const std::string& path) {
  if (path.ends_with(kGgufSuffix)) return true;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(kGgufMagic);
}

/// The one GGUF file in a folder, the first part of a split one; empty where there is none.
std::string gguf_in(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kGgufSuffix)) continue;
    const auto part = read_part_name(name);
    if (!part || part->number == 1) found.push_back(entry.path().string());
  }
  if (error) fail(ErrorCode::io, "{}: {}", folder, error.message());
  std::sort(found.begin(), found.end());
  if (found.size() > 1) {
    fail(ErrorCode::invalid_argument,
         "{}: expected one GGUF file in the folder, found {}, '{}' and '{}' among them; name one of them",
         folder, found.size(), printable(fs::path(found[0]).filename().string()),
         printable(fs::path(found[1]).filename().string()));
  }
  return found.empty() ? "" : found.front();
}

}  // namespace

std::shared_ptr<Checkpoint> Checkpoint::open(const std::string& path, Copies copies) {
  std::error_code error;
  std::string gguf;
  if (fs::is_regular_file(path, error) && is_gguf(path)) gguf = path;
  if (fs::is_directory(path, error) && !fs::exists(fs::path(path) / "config.json", error))
    gguf = gguf_in(path);
  if (gguf.empty()) return std::make_shared<HfFolder>(HfFolder::open(path, copies));
  return std::make_shared<GgufCheckpoint>(GgufCheckpoint::open(gguf, copies));
}

std::string Checkpoint::file_path(std::string_view name) const {
  return (fs::path(folder_) / name).string();
}

void Checkpoint::add_tensor(Tensor tensor, std::string_view format) {
  const auto [other, inserted] = by_name_.emplace(tensor.name, tensors_.size());
  if (!inserted) {
    fail(ErrorCode::invalid_file, "{}: {}: tensor '{}' is already in {}", format, files_[tensor.file]->path(),
         printable(tensor.name), files_[tensors_[other->second].file]->path());
  }
  tensors_.push_back(std::move(tensor));
}

void Checkpoint::copy_later(Tensor& tensor, RowOrder order, int64_t head_rows) {
  const auto release = [](std::byte* data) { ::operator delete(data, std::align_val_t{kCopyAlignment}); };
  const std::shared_ptr<std::byte> copy(
      static_cast<std::byte*>(::operator new(tensor.bytes.size(), std::align_val_t{kCopyAlignment})),
      release);
  Copy pending{.from = tensor.bytes, .to = copy.get(), .head_bytes = tensor.bytes.size()};
  if (order != RowOrder::kept) {
    INGOT_CHECK(head_rows > 0 && tensor.shape[0] % head_rows == 0, "{} rows by {}", tensor.shape[0],
                head_rows);
    pending.order = order;
    pending.head_rows = head_rows;
    pending.head_bytes = tensor.bytes.size() / static_cast<size_t>(tensor.shape[0] / head_rows);
  }
  pending_.push_back(pending);
  tensor.bytes = {copy.get(), tensor.bytes.size()};
  copies_.emplace(tensor.name, copy);
}

void Checkpoint::make_copies() {
  // Pieces of whole heads, so that threads share large tensors.
  std::vector<Copy> pieces;
  size_t total = 0;
  for (const Copy& copy : pending_) {
    total += copy.from.size();
    const size_t unit = copy.order == RowOrder::kept ? kCopyChunkBytes : copy.head_bytes;
    for (size_t at = 0; at < copy.from.size(); at += unit) {
      Copy piece = copy;
      piece.from = copy.from.subspan(at, std::min(unit, copy.from.size() - at));
      piece.to = copy.to + at;
      pieces.push_back(piece);
    }
  }
  pending_.clear();
  if (pieces.empty()) return;
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Copy& piece = pieces[static_cast<size_t>(i)];
      if (piece.order == RowOrder::kept) {
        std::memcpy(piece.to, piece.from.data(), piece.from.size());
      } else {
        reorder_head(piece.from, piece.to, piece.head_rows, piece.order);
      }
    }
  };
  ThreadPool pool(total < kParallelCopyBytes ? 1 : std::min(available_cpus(), ThreadPool::kMaxThreads));
  pool.parallel_for(static_cast<int64_t>(pieces.size()), 1, run);
  log().info("{}: copied {} bytes of weights that cannot be read in place", path_, total);
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::shared_ptr<const void> Checkpoint::owner(const Tensor& tensor) const {
  const auto copy = copies_.find(tensor.name);
  if (copy != copies_.end()) return copy->second;
  return files_[tensor.file];
}

void Checkpoint::check_unchanged() const {
  for (const auto& file : files_) file->check_unchanged();
}

int64_t Checkpoint::file_bytes() const {
  int64_t total = 0;
  for (const auto& file : files_) total += static_cast<int64_t>(file->bytes().size());
  return total;
}

}  // namespace ingot::format
