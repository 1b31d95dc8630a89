// Writes a GGUF file (version 3) as a stream: first what it holds, then the tensors' bytes in the same order.
//
// The file appears under its name all at once or not at all: bytes go to `path`.part in the same folder,
// which commit() brings to disk and renames. Until then the destructor removes it. The part is locked, so
// that two writers of one file do not mix, and a part that a killed program left is begun anew.
//
// Order of calls: metadata and tensor(), begin(), write() until every tensor has its bytes, commit().
// Ownership: owns the part. Not thread safe. Errors: io, naming the file and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <vector>

#include "format/gguf_metadata.h"
#include "ingot/dtype.h"

namespace ingot::format {

class GgufWriter {
 public:
  enum class Existing : uint8_t { refuse, replace };

  /// Creates the part. `alignment` of tensors, a power of two. Errors: invalid_argument where `path` exists
  /// and is to stay, or is no regular file; io.
  GgufWriter(const std::string& path, Existing existing, size_t alignment = 32);
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  /// Where the bytes of a file at `path` go until it is complete.
  static std::string part_path_of(const std::string& path);

  // Metadata, in the order of the file; a key stands once.
  void string(std::string_view key, std::string_view value);
  void boolean(std::string_view key, bool value);
  template <typename Number>
  void number(std::string_view key, Number value) {
    begin_value(key, type_of<Number>());
    put(value);
  }
  void strings(std::string_view key, std::span<const std::string> values);
  void booleans(std::string_view key, const std::vector<bool>& values);
  template <typename Number>
  void numbers(std::string_view key, std::span<const Number> values) {
    begin_array(key, type_of<Number>(), values.size());
    for (const Number value : values) put(value);
  }
  /// A value as GgufMetadata::encoded() gives it.
  void encoded(std::string_view key, std::span<const std::byte> value);

  /// The next tensor: its name is new, its shape, outermost first, has 1 to 4 dimensions, its type stands in
  /// GGUF.
  void tensor(std::string_view name, DType dtype, std::span<const int64_t> shape);

  /// Bytes of the whole file. Tensors are known, begin() need not have been called.
  int64_t file_bytes() const;
  /// Writes all of this and takes hold of the disk space that the rest needs, where the file system can.
  void begin();
  /// The next bytes of the tensors; padding between them is added.
  void write(std::span<const std::byte> bytes);
  /// All bytes are there: brings them to disk and gives the file its name.
  void commit();

 private:
  struct Description {
    uint64_t offset;
    uint64_t bytes;
  };

  template <typename Number>
  static constexpr GgufType type_of() {
    static_assert(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>);
    if constexpr (std::is_floating_point_v<Number>)
      return sizeof(Number) == 4 ? GgufType::f32 : GgufType::f64;
    constexpr bool kSigned = std::is_signed_v<Number>;
    if constexpr (sizeof(Number) == 1) return kSigned ? GgufType::i8 : GgufType::u8;
    if constexpr (sizeof(Number) == 2) return kSigned ? GgufType::i16 : GgufType::u16;
    if constexpr (sizeof(Number) == 4) return kSigned ? GgufType::i32 : GgufType::u32;
    return kSigned ? GgufType::i64 : GgufType::u64;
  }
  template <typename Number>
  void put(Number value) {
    entries_.append(reinterpret_cast<const char*>(&value), sizeof value);  // little-endian, as the machine
  }
  void put_string(std::string_view text);
  void begin_entry(std::string_view key);
  void begin_value(std::string_view key, GgufType type);
  void begin_array(std::string_view key, GgufType type, size_t count);
  uint64_t aligned(uint64_t bytes) const;
  uint64_t header_bytes() const;

  void open_part();
  void write_all(std::string_view bytes);
  void pad();
  void discard();
  [[noreturn]] void refuse(std::string_view what, int why) const;

  std::string path_;
  std::string part_path_;
  Existing existing_;
  size_t alignment_;
  int fd_ = -1;
  bool begun_ = false;
  std::unordered_set<std::string> keys_;
  std::unordered_set<std::string> names_;
  std::string entries_;
  std::string descriptions_;
  std::vector<Description> tensors_;
  uint64_t data_bytes_ = 0;  // of all tensors so far, padded
  size_t current_ = 0;       // the tensor that is being written
  uint64_t written_ = 0;     // bytes of it
};

}  // namespace ingot::format
