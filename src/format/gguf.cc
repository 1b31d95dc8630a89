#include "format/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>
#include <unordered_set>

#include "format/gguf_reader.h"

namespace ingot::format {
namespace {

constexpr uint32_t kOldestVersion = 2;
constexpr uint32_t kNewestVersion = 3;
constexpr uint32_t kMaxRank = 4;
constexpr size_t kMaxNameBytes = 65535;
constexpr int64_t kMaxAlignment = 1 << 20;
constexpr size_t kLeastTensorBytes = 8 + 4 + 8 + 4 + 8;  // of a description: empty name, rank 1

struct Type {
  uint32_t id;
  DType dtype;
};
constexpr std::array kTypes = {
    Type{0, DType::f32},     Type{1, DType::f16},     Type{2, DType::q4_0},  Type{3, DType::q4_1},
    Type{6, DType::q5_0},    Type{7, DType::q5_1},    Type{8, DType::q8_0},  Type{10, DType::q2_k},
    Type{11, DType::q3_k},   Type{12, DType::q4_k},   Type{13, DType::q5_k}, Type{14, DType::q6_k},
    Type{20, DType::iq4_nl}, Type{23, DType::iq4_xs}, Type{24, DType::i8},   Type{25, DType::i16},
    Type{26, DType::i32},    Type{27, DType::i64},    Type{28, DType::f64},  Type{30, DType::bf16},
    Type{39, DType::mxfp4},
};

// Types of the format for which Ingot has no storage, for messages.
struct OtherType {
  uint32_t id;
  std::string_view name;
};
constexpr std::array kOtherTypes = {
    OtherType{9, "q8_1"},     OtherType{15, "q8_k"},  OtherType{16, "iq2_xxs"}, OtherType{17, "iq2_xs"},
    OtherType{18, "iq3_xxs"}, OtherType{19, "iq1_s"}, OtherType{21, "iq3_s"},   OtherType{22, "iq2_s"},
    OtherType{29, "iq1_m"},   OtherType{34, "tq1_0"}, OtherType{35, "tq2_0"},
};

// A tensor as its description says, before its bytes are known.
struct Description {
  Tensor tensor;
  uint64_t offset = 0;
};

DType read_dtype(GgufReader& reader, std::string_view name) {
  const auto id = reader.number<uint32_t>("a tensor's type");
  const auto* const found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& type) { return type.id == id; });
  if (found == kTypes.end()) {
    const auto* const other = std::find_if(kOtherTypes.begin(), kOtherTypes.end(),
                                           [&](const OtherType& type) { return type.id == id; });
    reader.refuse(ErrorCode::unsupported, "tensor '{}' has type {} ({}), which is not supported", name, id,
                  other == kOtherTypes.end() ? "unknown" : other->name);
  }
  return found->dtype;
}

Description read_description(GgufReader& reader) {
  Description description;
  Tensor& tensor = description.tensor;
  tensor.name = reader.string("a tensor's name");
  const std::string& name = tensor.name;
  if (name.empty() || name.size() > kMaxNameBytes) {
    reader.invalid("expected tensor names of 1 to {} bytes, found one of {}", kMaxNameBytes, name.size());
  }
  const auto rank = reader.number<uint32_t>("a tensor's rank");
  if (rank < 1 || rank > kMaxRank) {
    reader.invalid("tensor '{}': expected 1 to {} dimensions, found {}", name, kMaxRank, rank);
  }
  for (uint32_t i = 0; i < rank; ++i) {
    const auto dimension = reader.number<uint64_t>("a tensor's dimension");
    if (dimension == 0 || dimension > uint64_t{INT64_MAX}) {
      reader.invalid("tensor '{}': expected dimensions in [1, 2^63), found {}", name, dimension);
    }
    tensor.shape.push_back(static_cast<int64_t>(dimension));
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  tensor.dtype = read_dtype(reader, name);
  description.offset = reader.number<uint64_t>("a tensor's offset");
  return description;
}

size_t tensor_bytes(const GgufReader& reader, const Tensor& tensor) {
  const DTypeBlock block = block_of(tensor.dtype);
  const int64_t row = tensor.shape.back();
  if (row % block.elements != 0) {
    reader.invalid("tensor '{}': expected rows of a multiple of {} elements for {}, found {}", tensor.name,
                   block.elements, to_string(tensor.dtype), row);
  }
  int64_t elements = 1;
  int64_t bytes = 0;
  bool overflows = false;
  for (const int64_t dimension : tensor.shape) {
    overflows = overflows || __builtin_mul_overflow(elements, dimension, &elements);
  }
  overflows = overflows || __builtin_mul_overflow(elements / block.elements, block.bytes, &bytes);
  if (overflows) reader.invalid("tensor '{}': its shape overflows 2^63 bytes", tensor.name);
  return static_cast<size_t>(bytes);
}

size_t read_alignment(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  const auto alignment = static_cast<size_t>(metadata.get_int_or(kKey, 32, 8, kMaxAlignment));
  if (!std::has_single_bit(alignment)) {
    metadata.refuse(kKey, fmt::format("expected a power of two, found {}", alignment));
  }
  return alignment;
}

void place(const GgufReader& reader, const Gguf& file, Description& description) {
  Tensor& tensor = description.tensor;
  const size_t bytes = tensor_bytes(reader, tensor);
  if (description.offset % file.alignment != 0) {
    reader.invalid("tensor '{}' begins at byte {} of the data, expected a multiple of {}", tensor.name,
                   description.offset, file.alignment);
  }
  const size_t size = reader.bytes().size();
  const size_t data = size < file.data_begin ? 0 : size - file.data_begin;
  if (description.offset > data || bytes > data - description.offset) {
    reader.invalid("tensor '{}' takes {} bytes at byte {} of the data, which has {}", tensor.name, bytes,
                   description.offset, data);
  }
  tensor.bytes = reader.bytes().subspan(file.data_begin + static_cast<size_t>(description.offset), bytes);
}

void check_overlaps(const GgufReader& reader, const std::vector<Tensor>& tensors) {
  for (size_t i = 1; i < tensors.size(); ++i) {
    const Tensor& before = tensors[i - 1];
    const std::byte* end = before.bytes.data() + before.bytes.size();
    if (tensors[i].bytes.data() < end) {
      reader.invalid("tensor '{}' begins at byte {}, inside tensor '{}', which ends at {}", tensors[i].name,
                     tensors[i].bytes.data() - reader.bytes().data(), before.name,
                     end - reader.bytes().data());
    }
  }
}

uint32_t read_version(GgufReader& reader) {
  const auto magic = reader.take(kGgufMagic.size(), "the magic");
  const std::string_view found(reinterpret_cast<const char*>(magic.data()), magic.size());
  if (found != kGgufMagic) reader.invalid("expected the magic '{}', found '{}'", kGgufMagic, found);
  const auto version = reader.number<uint32_t>("the version");
  if (version != 0 && (version & 0xFFFF) == 0) {
    reader.refuse(ErrorCode::unsupported, "a big-endian file; little-endian ones are supported");
  }
  if (version < kOldestVersion || version > kNewestVersion) {
    reader.refuse(ErrorCode::unsupported, "version {} is not supported; supported are {} and {}", version,
                  kOldestVersion, kNewestVersion);
  }
  return version;
}

}  // namespace

Gguf parse_gguf(std::span<const std::byte> bytes, std::string_view name) {
  GgufReader reader(bytes, name);
  Gguf file;
  file.version = read_version(reader);
  const auto tensor_count = reader.number<uint64_t>("the count of tensors");
  const auto entry_count = reader.number<uint64_t>("the count of metadata entries");
  file.metadata = GgufMetadata::read(reader, entry_count);
  file.alignment = read_alignment(file.metadata);

  if (tensor_count > reader.left() / kLeastTensorBytes) {
    reader.invalid("the header counts {} tensors, the file has room for {}", tensor_count,
                   reader.left() / kLeastTensorBytes);
  }
  std::vector<Description> descriptions;
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    descriptions.push_back(read_description(reader));
    const std::string& tensor = descriptions.back().tensor.name;
    if (!names.insert(tensor).second) reader.invalid("tensor '{}' stands twice in the file", tensor);
  }
  const size_t rest = reader.position() % file.alignment;
  file.data_begin = reader.position() + (rest == 0 ? 0 : file.alignment - rest);
  for (Description& description : descriptions) {
    place(reader, file, description);
    file.tensors.push_back(std::move(description.tensor));
  }
  std::sort(file.tensors.begin(), file.tensors.end(), [](const Tensor& a, const Tensor& b) {
    return std::tuple(a.bytes.data(), std::string_view(a.name)) <
           std::tuple(b.bytes.data(), std::string_view(b.name));
  });
  check_overlaps(reader, file.tensors);
  return file;
}

std::optional<uint32_t> gguf_type_id(DType dtype) {
  for (const Type& type : kTypes) {
    if (type.dtype == dtype) return type.id;
  }
  return std::nullopt;
}

}  // namespace ingot::format
