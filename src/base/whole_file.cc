#include "base/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/check.h"

namespace ingot {
namespace {

[[noreturn]] void fail_io(std::string_view what) {
  fail(ErrorCode::io, "{}: {}", what, std::strerror(errno));
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io("cannot write");
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

std::string cache_path(std::string_view name) {
  // The XDG base directory specification: a relative path is to be ignored.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fmt::format("{}/ingot/{}", cache, name);
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return fmt::format("{}/.cache/ingot/{}", home, name);
  return {};
}

std::optional<std::string> read_whole_file(const std::string& path, size_t most_bytes) {
  // Not blocking: something else than a file may lie there.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail_io("cannot read");
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_io("cannot read");
  if (!S_ISREG(info.st_mode)) fail(ErrorCode::io, "it is no regular file");
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_io("cannot read");
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > most_bytes) fail(ErrorCode::invalid_file, "it is larger than {} bytes", most_bytes);
  }
}

void replace_whole_file(const std::string& path, std::string_view text) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorCode::io, "cannot make its folder: {}", error.message());
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  try {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (file.get() < 0) fail_io("cannot write");
    write_all(file.get(), text);
    if (::fsync(file.get()) != 0) fail_io("cannot write");
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_io("cannot write");
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace ingot
