// The goldens of tools/dtype_goldens.py, by name.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "format/safetensors.h"

namespace ingot::dtype {

class Goldens {
 public:
  Goldens() : tensors_(format::parse_safetensors(file_.bytes(), "goldens").tensors) {}

  /// Empty, and a failure of the test, where the file lacks the tensor.
  std::span<const std::byte> bytes(std::string_view name) const {
    for (const format::Tensor& tensor : tensors_)
      if (tensor.name == name) return tensor.bytes;
    ADD_FAILURE() << "no golden named " << name;
    return {};
  }

  std::vector<float> floats(std::string_view name) const {
    const std::span<const std::byte> from = bytes(name);
    std::vector<float> values(from.size() / sizeof(float));
    std::memcpy(values.data(), from.data(), from.size());
    return values;
  }

 private:
  MappedFile file_{INGOT_SOURCE_DIR "/tests/dtype/goldens.safetensors"};
  std::vector<format::Tensor> tensors_;
};

}  // namespace ingot::dtype
