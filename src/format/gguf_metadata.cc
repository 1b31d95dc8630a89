#include "format/gguf_metadata.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "format/gguf_reader.h"

namespace ingot::format {
namespace {

constexpr size_t kMaxKeyBytes = 65535;  // the format's own limit
constexpr uint64_t kLastType = static_cast<uint64_t>(GgufType::f64);
// The least an entry can take: an empty key's length, a type and one byte.
constexpr size_t kLeastEntryBytes = 8 + 4 + 1;

constexpr size_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::string:
    case GgufType::array:
      break;
  }
  return 0;
}

bool is_integer(GgufType type) {
  return scalar_bytes(type) != 0 && type != GgufType::f32 && type != GgufType::f64 &&
         type != GgufType::boolean;
}
bool is_real(GgufType type) {
  return type == GgufType::f32 || type == GgufType::f64;
}

template <typename Number>
Number load(const std::byte* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

// An integer of any type; nullopt where it exceeds int64_t.
std::optional<int64_t> load_integer(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean:
      return load<uint8_t>(at);
    case GgufType::i8:
      return load<int8_t>(at);
    case GgufType::u16:
      return load<uint16_t>(at);
    case GgufType::i16:
      return load<int16_t>(at);
    case GgufType::u32:
      return load<uint32_t>(at);
    case GgufType::i32:
      return load<int32_t>(at);
    case GgufType::i64:
      return load<int64_t>(at);
    case GgufType::u64: {
      const auto number = load<uint64_t>(at);
      if (number > uint64_t{INT64_MAX}) return std::nullopt;
      return static_cast<int64_t>(number);
    }
    default:
      return std::nullopt;
  }
}

double load_real(GgufType type, const std::byte* at) {
  return type == GgufType::f32 ? static_cast<double>(load<float>(at)) : load<double>(at);
}

GgufType read_type(GgufReader& reader, std::string_view key) {
  const auto id = reader.number<uint32_t>("a metadata value's type");
  if (id > kLastType)
    reader.invalid("key '{}': expected a type between 0 and {}, found {}", key, kLastType, id);
  return static_cast<GgufType>(id);
}

void check_booleans(const GgufReader& reader, std::string_view key, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    if (std::to_integer<unsigned>(byte) > 1) {
      reader.invalid("key '{}': expected a bool of 0 or 1, found {}", key, std::to_integer<unsigned>(byte));
    }
  }
}

std::string integer_in(int64_t min, int64_t max) {
  return fmt::format("an integer between {} and {}", min, max);
}
std::string number_in(double min, double max) {
  return fmt::format("a number between {} and {}", min, max);
}

}  // namespace

struct GgufMetadata::Value {
  ValueType type;
  std::span<const std::byte> encoded;  // type id and value, as in the file
  const std::byte* data = nullptr;     // the number, bool or first element
  // A string counts as a list of one.
  std::shared_ptr<const std::vector<std::string_view>> strings;
};

struct GgufMetadata::Table {
  std::string file;
  std::vector<std::string_view> keys;
  std::unordered_map<std::string_view, Value> values;
};

std::string_view to_string(GgufType type) {
  switch (type) {
    case GgufType::u8:
      return "u8";
    case GgufType::i8:
      return "i8";
    case GgufType::u16:
      return "u16";
    case GgufType::i16:
      return "i16";
    case GgufType::u32:
      return "u32";
    case GgufType::i32:
      return "i32";
    case GgufType::f32:
      return "f32";
    case GgufType::boolean:
      return "bool";
    case GgufType::string:
      return "string";
    case GgufType::array:
      return "array";
    case GgufType::u64:
      return "u64";
    case GgufType::i64:
      return "i64";
    case GgufType::f64:
      return "f64";
  }
  return "?";
}

GgufMetadata::GgufMetadata() : table_(std::make_shared<const Table>()) {}

GgufMetadata GgufMetadata::read(GgufReader& reader, uint64_t count) {
  if (count > reader.left() / kLeastEntryBytes) {
    reader.invalid("the header counts {} metadata entries, the file has room for {}", count,
                   reader.left() / kLeastEntryBytes);
  }
  auto table = std::make_shared<Table>();
  table->file = reader.file();
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view key = reader.string("a metadata key");
    if (key.empty() || key.size() > kMaxKeyBytes) {
      reader.invalid("expected metadata keys of 1 to {} bytes, found one of {}", kMaxKeyBytes, key.size());
    }
    const size_t begin = reader.position();
    Value value;
    value.type.type = read_type(reader, key);
    if (value.type.type == GgufType::array) {
      value.type.is_array = true;
      value.type.type = read_type(reader, key);
      value.type.count = reader.number<uint64_t>("an array's length");
      if (value.type.type == GgufType::array) {
        reader.refuse(ErrorCode::unsupported, "key '{}': arrays of arrays are not supported", key);
      }
    }
    const std::string what = fmt::format("the value of key '{}'", printable(std::string(key)));
    if (value.type.type == GgufType::string) {
      if (value.type.count > reader.left() / sizeof(uint64_t)) {
        reader.invalid("key '{}': an array of {} strings does not fit, {} bytes are left", key,
                       value.type.count, reader.left());
      }
      auto strings = std::make_shared<std::vector<std::string_view>>();
      strings->reserve(static_cast<size_t>(value.type.count));
      for (uint64_t j = 0; j < value.type.count; ++j) strings->push_back(reader.string(what));
      value.strings = std::move(strings);
    } else {
      const size_t width = scalar_bytes(value.type.type);
      if (value.type.count > reader.left() / width) {
        reader.invalid("key '{}': an array of {} {} does not fit, {} bytes are left", key, value.type.count,
                       to_string(value.type.type), reader.left());
      }
      const auto bytes = reader.take(value.type.count * width, what);
      if (value.type.type == GgufType::boolean) check_booleans(reader, key, bytes);
      value.data = bytes.data();
    }
    value.encoded = reader.bytes().subspan(begin, reader.position() - begin);
    if (!table->values.emplace(key, std::move(value)).second) {
      reader.invalid("key '{}' stands twice in the metadata", key);
    }
    table->keys.push_back(key);
  }
  return GgufMetadata(std::move(table));
}

const std::string& GgufMetadata::file() const {
  return table_->file;
}

std::span<const std::string_view> GgufMetadata::keys() const {
  return table_->keys;
}

const GgufMetadata::Value* GgufMetadata::find(std::string_view key) const {
  const auto found = table_->values.find(key);
  return found == table_->values.end() ? nullptr : &found->second;
}

bool GgufMetadata::has(std::string_view key) const {
  return find(key) != nullptr;
}

GgufMetadata::ValueType GgufMetadata::type(std::string_view key) const {
  const Value* value = find(key);
  INGOT_CHECK(value != nullptr, "{}: key '{}'", file(), key);
  return value->type;
}

std::span<const std::byte> GgufMetadata::encoded(std::string_view key) const {
  const Value* value = find(key);
  INGOT_CHECK(value != nullptr, "{}: key '{}'", file(), key);
  return value->encoded;
}

void GgufMetadata::refuse(std::string_view key, std::string_view message) const {
  fail(ErrorCode::invalid_file, "{}: key '{}': {}", file(), printable(std::string(key)), message);
}

void GgufMetadata::missing(std::string_view key, std::string_view expected) const {
  refuse(key, fmt::format("expected {}, found no such key", expected));
}

void GgufMetadata::mismatch(std::string_view key, std::string_view expected, const Value& found) const {
  const auto describe = [&]() -> std::string {
    const GgufType type = found.type.type;
    if (found.type.is_array) return fmt::format("an array of {} {}", found.type.count, to_string(type));
    if (type == GgufType::string)
      return fmt::format("\"{}\"", printable(std::string(found.strings->front())));
    if (type == GgufType::boolean) return load<uint8_t>(found.data) != 0 ? "true" : "false";
    if (is_real(type)) return fmt::format("{} ({})", load_real(type, found.data), to_string(type));
    const auto number = load_integer(type, found.data);
    return number ? fmt::format("{} ({})", *number, to_string(type))
                  : fmt::format("{} (u64)", load<uint64_t>(found.data));
  };
  refuse(key, fmt::format("expected {}, found {}", expected, describe()));
}

int64_t GgufMetadata::get_int(std::string_view key, int64_t min, int64_t max) const {
  if (const auto value = optional_int(key, min, max)) return *value;
  missing(key, integer_in(min, max));
}

int64_t GgufMetadata::get_int_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const {
  return optional_int(key, min, max).value_or(fallback);
}

std::optional<int64_t> GgufMetadata::optional_int(std::string_view key, int64_t min, int64_t max) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->type.is_array && is_integer(value->type.type)) {
    const auto number = load_integer(value->type.type, value->data);
    if (number && *number >= min && *number <= max) return number;
  }
  mismatch(key, integer_in(min, max), *value);
}

double GgufMetadata::get_double(std::string_view key, double min, double max) const {
  if (const auto value = optional_double(key, min, max)) return *value;
  missing(key, number_in(min, max));
}

double GgufMetadata::get_double_or(std::string_view key, double fallback, double min, double max) const {
  return optional_double(key, min, max).value_or(fallback);
}

std::optional<double> GgufMetadata::optional_double(std::string_view key, double min, double max) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->type.is_array && (is_real(value->type.type) || is_integer(value->type.type))) {
    const auto whole = load_integer(value->type.type, value->data);
    if (whole || is_real(value->type.type)) {
      const double number = whole ? static_cast<double>(*whole) : load_real(value->type.type, value->data);
      if (number >= min && number <= max) return number;
    }
  }
  mismatch(key, number_in(min, max), *value);
}

bool GgufMetadata::get_bool(std::string_view key) const {
  if (const auto value = optional_bool(key)) return *value;
  missing(key, "true or false");
}

bool GgufMetadata::get_bool_or(std::string_view key, bool fallback) const {
  return optional_bool(key).value_or(fallback);
}

std::optional<bool> GgufMetadata::optional_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type.is_array || value->type.type != GgufType::boolean) mismatch(key, "true or false", *value);
  return load<uint8_t>(value->data) != 0;
}

std::string_view GgufMetadata::get_string(std::string_view key) const {
  if (const auto value = optional_string(key)) return *value;
  missing(key, "a string");
}

std::string_view GgufMetadata::get_string_or(std::string_view key, std::string_view fallback) const {
  return optional_string(key).value_or(fallback);
}

std::optional<std::string_view> GgufMetadata::optional_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type.is_array || value->type.type != GgufType::string) mismatch(key, "a string", *value);
  return value->strings->front();
}

GgufStrings GgufMetadata::strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (!value->type.is_array || value->type.type != GgufType::string) {
    mismatch(key, "an array of strings", *value);
  }
  return GgufStrings(value->strings);
}

std::vector<int64_t> GgufMetadata::ints(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  const bool is_readable = is_integer(value->type.type) || value->type.type == GgufType::boolean;
  if (!value->type.is_array || !is_readable) mismatch(key, "an array of integers", *value);
  const size_t width = scalar_bytes(value->type.type);
  std::vector<int64_t> numbers;
  numbers.reserve(static_cast<size_t>(value->type.count));
  for (size_t i = 0; i < value->type.count; ++i) {
    const auto number = load_integer(value->type.type, value->data + i * width);
    if (!number) mismatch(key, "an array of integers below 2^63", *value);
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<float> GgufMetadata::floats(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (!value->type.is_array || !is_real(value->type.type)) mismatch(key, "an array of f32 or f64", *value);
  const size_t width = scalar_bytes(value->type.type);
  std::vector<float> numbers;
  numbers.reserve(static_cast<size_t>(value->type.count));
  for (size_t i = 0; i < value->type.count; ++i) {
    numbers.push_back(static_cast<float>(load_real(value->type.type, value->data + i * width)));
  }
  return numbers;
}

}  // namespace ingot::format
