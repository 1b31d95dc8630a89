// A Llama checkpoint of some 20,000 random parameters with a byte-level tokenizer, written in a millisecond.
// Tests spoil one part of it and show what the program says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::cli_test {

/// A folder that is removed at the end of the test.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path() const { return path_.string(); }
  std::string path(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, std::string_view content) const;
  std::string read(const std::string& name) const;

 private:
  std::filesystem::path path_;
};

struct TinyTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct TinyCheckpoint {
  static constexpr int64_t kContext = 64;
  static constexpr int64_t kTokens = 259;  // of the tokenizer: end of text, 256 bytes, "th", "the"
  static constexpr int64_t kRows = 264;    // of the embedding: a few more, as many published models have

  nlohmann::ordered_json config;
  nlohmann::ordered_json generation_config;
  nlohmann::ordered_json tokenizer;
  nlohmann::ordered_json tokenizer_config;
  std::map<std::string, TinyTensor> tensors;

  TinyCheckpoint();

  /// One safetensors file and the four JSON files; a JSON that is null is left out.
  void write(const TempFolder& folder) const;
  /// The same with the tensors of each layer in a shard of its own, and an index.
  void write_sharded(const TempFolder& folder) const;
  nlohmann::ordered_json index() const;

  /// Bytes of a safetensors file with these tensors.
  std::string safetensors() const { return safetensors(tensors); }
  static std::string safetensors(const std::map<std::string, TinyTensor>& tensors);
  /// A safetensors file of any header and data; `claimed` is the header's length as the file gives it.
  static std::string safetensors(std::string_view header, std::string_view data);
  static std::string safetensors(std::string_view header, std::string_view data, uint64_t claimed);
  /// The header and the data of what safetensors() gave.
  static nlohmann::ordered_json header_of(const std::string& bytes);
  static std::string data_of(const std::string& bytes);
};

}  // namespace ingot::cli_test
