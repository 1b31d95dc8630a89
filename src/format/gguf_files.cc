#include "format/gguf_files.h"

#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {
namespace {

constexpr std::string_view kNumber = "split.no";
constexpr std::string_view kCount = "split.count";
constexpr std::string_view kTensors = "split.tensors.count";
constexpr int64_t kMaxParts = 65535;  // the format keeps the count in 16 bits
constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";

/// The number in the last characters of `text`, which are cut off.
std::optional<int64_t> take_digits(std::string_view& text) {
  if (text.size() < kDigits) return std::nullopt;
  const std::string_view digits = text.substr(text.size() - kDigits);
  if (digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  int64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  text.remove_suffix(kDigits);
  return number;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

int64_t part_count(const GgufMetadata& metadata) {
  return metadata.get_int_or(kCount, 1, 0, kMaxParts);
}

/// Part `index` of `count`, checked to be that.
Gguf parse_part(const MappedFile& file, int64_t index, int64_t count) {
  Gguf part = parse_gguf(file.bytes(), file.path());
  if (const int64_t found = part_count(part.metadata); found != count) {
    part.metadata.refuse(kCount, fmt::format("expected {} as in the other parts, found {}", count, found));
  }
  if (const int64_t found = part.metadata.get_int(kNumber, 0, kMaxParts); found != index) {
    part.metadata.refuse(kNumber, fmt::format("expected {} as the file's name says, found {}", index, found));
  }
  return part;
}

}  // namespace

std::optional<GgufPartName> read_part_name(std::string_view name) {
  GgufPartName part;
  if (!take_suffix(name, kGgufSuffix)) return std::nullopt;
  const auto count = take_digits(name);
  if (!count || !take_suffix(name, kOf)) return std::nullopt;
  const auto number = take_digits(name);
  if (!number || !take_suffix(name, "-")) return std::nullopt;
  if (*number < 1 || *number > *count) return std::nullopt;
  return GgufPartName{.prefix = std::string(name), .number = *number, .count = *count};
}

std::string part_name(const GgufPartName& part) {
  return fmt::format("{}-{:05}{}{:05}{}", part.prefix, part.number, kOf, part.count, kGgufSuffix);
}

GgufFiles GgufFiles::open(const std::string& path) {
  GgufFiles result;
  const auto add = [&](const std::shared_ptr<const MappedFile>& file, Gguf part) {
    for (Tensor& tensor : part.tensors) {
      tensor.file = result.files.size();
      result.tensors.push_back(std::move(tensor));
    }
    if (result.files.empty()) result.metadata = part.metadata;
    result.files.push_back(file);
  };

  const auto opened = std::make_shared<const MappedFile>(path);
  Gguf first = parse_gguf(opened->bytes(), path);
  const int64_t count = part_count(first.metadata);
  if (count <= 1) {
    add(opened, std::move(first));
    return result;
  }

  auto part = read_part_name(path);
  if (!part || part->count != count) {
    first.metadata.refuse(
        kCount, fmt::format("one of {} parts: expected a file name that ends in -NNNNN{}{:05}{}", count, kOf,
                            count, kGgufSuffix));
  }
  for (part->number = 1; part->number <= count; ++part->number) {
    const std::string name = part_name(*part);
    std::error_code ignored;
    if (!std::filesystem::exists(name, ignored)) {
      fail(ErrorCode::not_found, "gguf: {}: part {} of {} is missing: {}", path, part->number, count, name);
    }
    const auto file = std::make_shared<const MappedFile>(name);
    add(file, parse_part(*file, part->number - 1, count));
  }

  std::set<std::string_view> names;
  for (const Tensor& tensor : result.tensors) {
    if (!names.insert(tensor.name).second) {
      fail(ErrorCode::invalid_file, "gguf: {}: tensor '{}' is in another part too",
           result.files[tensor.file]->path(), printable(tensor.name));
    }
  }
  const auto expected = result.metadata.optional_int(kTensors, 0, INT64_MAX);
  if (expected && static_cast<size_t>(*expected) != result.tensors.size()) {
    result.metadata.refuse(kTensors, fmt::format("expected {}, found {} tensors in {} parts", *expected,
                                                 result.tensors.size(), count));
  }
  return result;
}

}  // namespace ingot::format
