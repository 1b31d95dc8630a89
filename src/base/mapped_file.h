// A file mapped read-only into memory.
//
// Ownership: the mapping lives as long as the object; share it through shared_ptr where views outlive the
// reader. Thread safety: const methods may be called from any thread. A file that another process shortens
// while it is mapped raises SIGBUS on access; check_unchanged() notices before a run does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ingot {

class MappedFile {
 public:
  /// Maps the whole file. Errors: not_found (no such file), io (unreadable, or not a regular file).
  explicit MappedFile(std::string path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Throws Error{io} if the file is now shorter than its mapping, naming the file and both sizes.
  void check_unchanged() const;

 private:
  std::string path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ingot
