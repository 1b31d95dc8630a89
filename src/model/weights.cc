#include "model/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace ingot::model {
namespace {

constexpr size_t kNamesInMessage = 5;

/// The first few names, and how many more there are.
std::string some_of(const std::vector<std::string_view>& names) {
  const size_t shown = std::min(names.size(), kNamesInMessage);
  const std::string rest = names.size() > shown ? fmt::format(" and {} more", names.size() - shown) : "";
  return fmt::format(
      "'{}'{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), "', '"), rest);
}

}  // namespace

Array Weights::take(const std::string& name, const Shape& shape) {
  const format::Tensor* tensor = checkpoint_.find(name);
  if (tensor == nullptr) {
    const std::string_view prefix = std::string_view(name).substr(0, name.rfind('.', name.rfind('.') - 1));
    std::vector<std::string_view> near;
    for (const format::Tensor& other : checkpoint_.tensors()) {
      if (other.name.starts_with(prefix)) near.push_back(other.name);
    }
    fail(ErrorCode::not_found, "{}: tensor '{}' is missing: expected {}{}", checkpoint_.path(), name,
         to_string(shape), near.empty() ? "" : fmt::format("; the checkpoint has {}", some_of(near)));
  }
  const std::string& file = checkpoint_.file(*tensor)->path();
  const Shape found(tensor->shape);
  if (found != shape) {
    fail(ErrorCode::invalid_file, "{}: tensor '{}': expected shape {} as {} says, found {}", file, name,
         to_string(shape), checkpoint_.gguf() == nullptr ? "config.json" : "the metadata", to_string(found));
  }
  // Only what multiplies may be quantised.
  const bool is_matrix = shape.rank() == 2;
  if (!(is_matrix ? is_weight_dtype(tensor->dtype) : is_float_dtype(tensor->dtype))) {
    fail(ErrorCode::unsupported, "{}: tensor '{}': expected {}, found {}", file, name,
         is_matrix ? "f32, f16, bf16 or a type of quantised weights" : "f32, f16 or bf16",
         to_string(tensor->dtype));
  }
  used_.insert(name);
  return Array::over(tensor->bytes.data(), tensor->bytes.size(), tensor->dtype, shape,
                     checkpoint_.owner(*tensor));
}

void Weights::expect_all_used(std::string_view architecture) const {
  std::vector<std::string_view> extra;
  for (const format::Tensor& tensor : checkpoint_.tensors()) {
    if (!used_.contains(tensor.name)) extra.push_back(tensor.name);
  }
  if (!extra.empty()) {
    fail(ErrorCode::unsupported, "{}: the checkpoint has tensors that architecture {} does not use: {}",
         checkpoint_.path(), architecture, some_of(extra));
  }
}

}  // namespace ingot::model
