#include "format/gguf_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "format/gguf.h"
#include "format/json.h"

namespace ingot::format {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr uint32_t kVersion = 3;
constexpr size_t kMaxKeyBytes = 65535;
constexpr size_t kMaxRank = 4;
constexpr size_t kFixedHeaderBytes = 4 + 4 + 8 + 8;  // magic, version, counts
// Kernels take at most about 2 GiB a call; smaller calls notice a signal sooner.
constexpr size_t kMaxWriteBytes = size_t{64} << 20;

template <typename Number>
void append(std::string& text, Number value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// The file that a symbolic link leads to: renaming onto the link would leave the file and lose the link.
std::string behind_links(const std::string& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  const fs::path target = fs::weakly_canonical(path, error);
  return error ? path : target.string();
}

void check_target(const std::string& path, GgufWriter::Existing existing) {
  if (path.empty() || path.back() == '/') {
    fail(ErrorCode::invalid_argument, "{}: expected the name of a file to write", path.empty() ? "''" : path);
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) return;
  if (error) fail(ErrorCode::io, "{}: cannot write the file: {}", path, error.message());
  if (!fs::is_regular_file(status)) {
    fail(ErrorCode::invalid_argument, "{}: expected the name of a file to write, found a {}", path,
         fs::is_directory(status) ? "folder" : "special file");
  }
  if (existing == GgufWriter::Existing::refuse) {
    fail(ErrorCode::invalid_argument, "{}: the file exists; it is replaced only by force", path);
  }
}

/// Renames without replacing, where the system can; errno tells why not.
bool rename_new(const char* from, const char* to) {
#ifdef RENAME_NOREPLACE
  if (::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
#endif
  struct stat info {};
  if (::stat(to, &info) == 0) {
    errno = EEXIST;
    return false;
  }
  return ::rename(from, to) == 0;
}

/// A rename is on disk when its folder is. Not every file system can tell; the file itself is safe.
void sync_folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

GgufWriter::GgufWriter(const std::string& path, Existing existing, size_t alignment)
    : path_(behind_links(path)), part_path_(part_path_of(path)), existing_(existing), alignment_(alignment) {
  INGOT_CHECK(std::has_single_bit(alignment) && alignment >= 8, "alignment {}", alignment);
  check_target(path_, existing_);
  open_part();
}

std::string GgufWriter::part_path_of(const std::string& path) {
  return behind_links(path) + ".part";
}

GgufWriter::~GgufWriter() {
  discard();
}

void GgufWriter::refuse(std::string_view what, int why) const {
  fail(ErrorCode::io, "{}: {}: {}", part_path_, what, std::strerror(why));
}

void GgufWriter::open_part() {
  // A lock on a file that was renamed or removed meanwhile guards nothing: then the next one is opened.
  while (true) {
    fd_ = ::open(part_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd_ < 0) refuse("cannot create the file", errno);
    struct stat mine {};
    struct stat named {};
    if (::fstat(fd_, &mine) != 0 || !S_ISREG(mine.st_mode)) {
      ::close(fd_);
      fd_ = -1;  // not ours to remove
      fail(ErrorCode::io, "{}: expected a regular file or none", part_path_);
    }
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd_);
      fd_ = -1;
      fail(ErrorCode::io, "{}: another program is writing this file", part_path_);
    }
    if (::lstat(part_path_.c_str(), &named) == 0 && named.st_ino == mine.st_ino &&
        named.st_dev == mine.st_dev) {
      break;
    }
    ::close(fd_);
    fd_ = -1;
  }
  if (::ftruncate(fd_, 0) != 0) {
    const int why = errno;
    discard();
    refuse("cannot empty the file", why);
  }
}

void GgufWriter::discard() {
  if (fd_ < 0) return;
  ::unlink(part_path_.c_str());  // before the lock goes with the descriptor
  ::close(fd_);
  fd_ = -1;
}

void GgufWriter::put_string(std::string_view text) {
  put(uint64_t{text.size()});
  entries_ += text;
}

void GgufWriter::begin_entry(std::string_view key) {
  INGOT_CHECK(!begun_, "key '{}' after begin()", key);
  INGOT_CHECK(!key.empty() && key.size() <= kMaxKeyBytes, "a key of {} bytes", key.size());
  INGOT_CHECK(keys_.emplace(key).second, "key '{}' is there already", key);
  put_string(key);
}

void GgufWriter::begin_value(std::string_view key, GgufType type) {
  begin_entry(key);
  put(static_cast<uint32_t>(type));
}

void GgufWriter::begin_array(std::string_view key, GgufType type, size_t count) {
  begin_value(key, GgufType::array);
  put(static_cast<uint32_t>(type));
  put(uint64_t{count});
}

void GgufWriter::string(std::string_view key, std::string_view value) {
  begin_value(key, GgufType::string);
  put_string(value);
}

void GgufWriter::boolean(std::string_view key, bool value) {
  begin_value(key, GgufType::boolean);
  put(uint8_t{value});
}

void GgufWriter::strings(std::string_view key, std::span<const std::string> values) {
  begin_array(key, GgufType::string, values.size());
  for (const std::string& value : values) put_string(value);
}

void GgufWriter::booleans(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, GgufType::boolean, values.size());
  for (const bool value : values) put(uint8_t{value});
}

void GgufWriter::encoded(std::string_view key, std::span<const std::byte> value) {
  begin_entry(key);
  entries_.append(reinterpret_cast<const char*>(value.data()), value.size());
}

void GgufWriter::tensor(std::string_view name, DType dtype, std::span<const int64_t> shape) {
  const auto id = gguf_type_id(dtype);
  INGOT_CHECK(!begun_, "tensor '{}' after begin()", name);
  INGOT_CHECK(id.has_value(), "tensor '{}': {} has no place in GGUF", name, to_string(dtype));
  INGOT_CHECK(!shape.empty() && shape.size() <= kMaxRank, "tensor '{}' has {} dimensions", name,
              shape.size());
  INGOT_CHECK(names_.emplace(name).second, "tensor '{}' is there already", name);
  INGOT_CHECK(shape.back() % block_of(dtype).elements == 0,
              "tensor '{}': {} values a row are no whole blocks", name, shape.back());
  append(descriptions_, uint64_t{name.size()});
  descriptions_ += name;
  append(descriptions_, static_cast<uint32_t>(shape.size()));
  int64_t elements = 1;
  for (size_t i = shape.size(); i-- > 0;) {  // innermost first
    INGOT_CHECK(shape[i] > 0 && !__builtin_mul_overflow(elements, shape[i], &elements),
                "tensor '{}': dimension {}", name, shape[i]);
    append(descriptions_, static_cast<uint64_t>(shape[i]));
  }
  append(descriptions_, *id);
  append(descriptions_, data_bytes_);
  const auto bytes = static_cast<uint64_t>(dtype_bytes(dtype, elements));
  tensors_.push_back({.offset = data_bytes_, .bytes = bytes});
  data_bytes_ += aligned(bytes);
}

uint64_t GgufWriter::aligned(uint64_t bytes) const {
  return (bytes + alignment_ - 1) / alignment_ * alignment_;
}

uint64_t GgufWriter::header_bytes() const {
  return aligned(kFixedHeaderBytes + entries_.size() + descriptions_.size());
}

int64_t GgufWriter::file_bytes() const {
  return static_cast<int64_t>(header_bytes() + data_bytes_);
}

void GgufWriter::begin() {
  INGOT_CHECK(!begun_, "begun already");
  begun_ = true;
#ifdef __linux__
  // A disk that is too full says so now and not after an hour. Where the file system cannot tell, write()
  // does.
  if (::fallocate(fd_, 0, 0, file_bytes()) != 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
    const int why = errno;
    refuse(fmt::format("cannot hold {} bytes", file_bytes()), why);
  }
#endif
  std::string header(kGgufMagic);
  append(header, kVersion);
  append(header, uint64_t{tensors_.size()});
  append(header, uint64_t{keys_.size()});
  header += entries_;
  header += descriptions_;
  header.resize(header_bytes());
  write_all(header);
}

void GgufWriter::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), std::min(bytes.size(), kMaxWriteBytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse("cannot write", errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void GgufWriter::pad() {
  const uint64_t bytes = tensors_[current_].bytes;
  const std::string zeros(aligned(bytes) - bytes, '\0');
  write_all(zeros);
  ++current_;
  written_ = 0;
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  INGOT_CHECK(begun_, "write() before begin()");
  while (!bytes.empty()) {
    INGOT_CHECK(current_ < tensors_.size(), "{} bytes beyond the last tensor", bytes.size());
    const uint64_t left = tensors_[current_].bytes - written_;
    const auto part = bytes.first(std::min<uint64_t>(bytes.size(), left));
    write_all({reinterpret_cast<const char*>(part.data()), part.size()});
    written_ += part.size();
    bytes = bytes.subspan(part.size());
    if (written_ == tensors_[current_].bytes) pad();
  }
}

void GgufWriter::commit() {
  INGOT_CHECK(begun_ && current_ == tensors_.size(), "{} of {} tensors are written", current_,
              tensors_.size());
  if (::fsync(fd_) != 0) refuse("cannot bring the file to disk", errno);
  const bool renamed = existing_ == Existing::replace ? ::rename(part_path_.c_str(), path_.c_str()) == 0
                                                      : rename_new(part_path_.c_str(), path_.c_str());
  if (!renamed) refuse(fmt::format("cannot give it the name {}", path_), errno);
  ::close(fd_);
  fd_ = -1;
  sync_folder_of(path_);
}

}  // namespace ingot::format
