#include "format/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <tuple>
#include <type_traits>

#include "base/check.h"
#include "format/json.h"

namespace ingot::format {
namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 8;

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr std::array kDTypes = {NamedDType{"F32", DType::f32},   NamedDType{"F16", DType::f16},
                                NamedDType{"BF16", DType::bf16}, NamedDType{"F64", DType::f64},
                                NamedDType{"I64", DType::i64},   NamedDType{"I32", DType::i32},
                                NamedDType{"I16", DType::i16},   NamedDType{"I8", DType::i8},
                                NamedDType{"U8", DType::u8},     NamedDType{"BOOL", DType::boolean}};
// Types of the format for which Ingot has no storage.
constexpr std::array<std::string_view, 11> kOtherDTypes = {"U16",     "U32",     "U64",         "F8_E4M3",
                                                           "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
                                                           "F6_E2M3", "F4",      "C64"};

// A message's argument; text comes from the file and is made fit to print.
template <typename Value>
auto shown(const Value& value) {
  if constexpr (std::is_convertible_v<Value, std::string_view>) {
    return printable(std::string(std::string_view(value)));
  } else {
    return value;
  }
}

// Carries the names every message needs.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  Safetensors read() {
    const json header = read_header();
    data_ = bytes_.subspan(data_begin_);
    Safetensors result;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        result.metadata = read_metadata(entry);
      } else {
        result.tensors.push_back(read_tensor(name, entry));
      }
    }
    std::sort(result.tensors.begin(), result.tensors.end(), [](const Tensor& a, const Tensor& b) {
      return std::tuple(a.bytes.data(), a.bytes.size(), std::string_view(a.name)) <
             std::tuple(b.bytes.data(), b.bytes.size(), std::string_view(b.name));
    });
    check_coverage(result.tensors);
    return result;
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    const auto text = [&](const auto&... values) {
      return fmt::vformat(format, fmt::make_format_args(values...));
    };
    fail(code, "safetensors: {}: {}", file_, text(shown(args)...));
  }

  template <typename... Args>
  [[noreturn]] void invalid(fmt::format_string<Args...> format, Args&&... args) const {
    refuse(ErrorCode::invalid_file, format, std::forward<Args>(args)...);
  }

  json read_header() {
    if (bytes_.size() < kLengthBytes) {
      invalid("expected at least {} bytes for the header's length, the file has {}", kLengthBytes,
              bytes_.size());
    }
    uint64_t length = 0;
    for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(bytes_[i]);
    if (length > kMaxSafetensorsHeaderBytes) {
      invalid("expected a header of at most {} bytes, found a length of {}", kMaxSafetensorsHeaderBytes,
              length);
    }
    if (length > bytes_.size() - kLengthBytes) {
      invalid("the header ends at byte {}, the file has {}", length + kLengthBytes, bytes_.size());
    }
    data_begin_ = kLengthBytes + static_cast<size_t>(length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                                static_cast<size_t>(length));
    if (!text.starts_with('{')) invalid("expected a header that begins with '{{'");
    return parse_json(text, fmt::format("safetensors: {}: header", file_));
  }

  std::map<std::string, std::string> read_metadata(const json& entry) const {
    if (!entry.is_object()) invalid("__metadata__: expected an object, found {}", entry.type_name());
    std::map<std::string, std::string> metadata;
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) {
        invalid("__metadata__: expected a string for '{}', found {}", key, value.type_name());
      }
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  const json& member(std::string_view name, const json& entry, const char* key) const {
    const auto found = entry.find(key);
    if (found == entry.end()) invalid("tensor '{}' has no {}", name, key);
    return *found;
  }

  // A number of `name`'s list `key`: an integer in [0, 2^63).
  int64_t natural(std::string_view name, const json& value, const char* key) const {
    const bool in_range = value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{INT64_MAX};
    if (!in_range) {
      invalid("tensor '{}': expected integers in [0, 2^63) in {}, found {}", name, key, brief_json(value));
    }
    return value.get<int64_t>();
  }

  DType read_dtype(std::string_view name, const json& value) const {
    if (!value.is_string())
      invalid("tensor '{}': expected a string as dtype, found {}", name, value.type_name());
    const auto& found = value.get_ref<const std::string&>();
    for (const auto& known : kDTypes) {
      if (known.name == found) return known.dtype;
    }
    std::array<std::string_view, kDTypes.size()> names;
    std::transform(kDTypes.begin(), kDTypes.end(), names.begin(),
                   [](const NamedDType& known) { return known.name; });
    const bool of_the_format =
        std::find(kOtherDTypes.begin(), kOtherDTypes.end(), found) != kOtherDTypes.end();
    refuse(of_the_format ? ErrorCode::unsupported : ErrorCode::invalid_file,
           "tensor '{}' has the {} dtype {}; supported: {}", name, of_the_format ? "unsupported" : "unknown",
           brief_json(value), fmt::to_string(fmt::join(names, ", ")));
  }

  Tensor read_tensor(const std::string& name, const json& entry) const {
    if (!entry.is_object()) invalid("tensor '{}': expected an object, found {}", name, entry.type_name());
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = read_dtype(name, member(name, entry, "dtype"));

    const json& shape = member(name, entry, "shape");
    if (!shape.is_array())
      invalid("tensor '{}': expected a list as shape, found {}", name, shape.type_name());
    auto expected_bytes = static_cast<int64_t>(dtype_bytes(tensor.dtype));
    for (const json& value : shape) {
      const int64_t dimension = natural(name, value, "shape");
      if (__builtin_mul_overflow(expected_bytes, dimension, &expected_bytes)) {
        invalid("tensor '{}': shape {} overflows 2^63 bytes", name, brief_json(shape));
      }
      tensor.shape.push_back(dimension);
    }

    const json& offsets = member(name, entry, "data_offsets");
    if (!offsets.is_array() || offsets.size() != 2) {
      invalid("tensor '{}': expected two data_offsets, found {}", name, brief_json(offsets));
    }
    const int64_t begin = natural(name, offsets[0], "data_offsets");
    const int64_t end = natural(name, offsets[1], "data_offsets");
    if (begin > end)
      invalid("tensor '{}' begins at byte {} of the data and ends before it, at {}", name, begin, end);
    if (static_cast<uint64_t>(end) > data_.size()) {
      invalid("tensor '{}' ends at byte {}, the file has {}", name, static_cast<uint64_t>(end) + data_begin_,
              bytes_.size());
    }
    if (end - begin != expected_bytes) {
      invalid("tensor '{}': expected {} bytes for shape {} of {}, found {}", name, expected_bytes,
              brief_json(shape), to_string(tensor.dtype), end - begin);
    }
    tensor.bytes = data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    return tensor;
  }

  // The tensors, in the order of their bytes, cover the data exactly.
  void check_coverage(const std::vector<Tensor>& tensors) const {
    const auto position = [&](const std::byte* at) { return at - bytes_.data(); };
    const std::byte* covered = data_.data();
    const Tensor* previous = nullptr;
    for (const Tensor& tensor : tensors) {
      const std::byte* begin = tensor.bytes.data();
      if (begin < covered) {
        invalid("tensor '{}' begins at byte {}, inside tensor '{}', which ends at {}", tensor.name,
                position(begin), previous->name, position(covered));
      }
      if (begin > covered) {
        invalid("no tensor covers the bytes {} to {}, before tensor '{}'", position(covered), position(begin),
                tensor.name);
      }
      covered = begin + tensor.bytes.size();
      previous = &tensor;
    }
    if (covered != bytes_.data() + bytes_.size()) {
      invalid("the last tensor ends at byte {}, the file has {}", position(covered), bytes_.size());
    }
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  std::string_view file_;
  size_t data_begin_ = 0;
};

}  // namespace

int64_t Tensor::elements() const {
  return static_cast<int64_t>(bytes.size()) / block_of(dtype).bytes * block_of(dtype).elements;
}

bool Tensor::is_aligned() const {
  return reinterpret_cast<uintptr_t>(bytes.data()) % dtype_alignment(dtype) == 0;
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, std::string_view name) {
  return Reader(bytes, name).read();
}

}  // namespace ingot::format
