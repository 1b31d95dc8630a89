// A Hugging Face folder as published: config.json, generation_config.json and the safetensors weights, in one
// file or in shards with an index. Nothing is converted, nothing is written.
#pragma once

#include <string>

#include "format/checkpoint.h"

namespace ingot::format {

class HfFolder final : public Checkpoint {
 public:
  /// Reads the configs and validates every header; weights stay on disk until used. With Copies::later none
  /// is read at all. Errors: not_found for a missing folder, file or shard; unsupported for a path that is
  /// something else (a lone file); invalid_file for a broken config, header or index; io.
  static HfFolder open(const std::string& path, Copies copies = Copies::now);

 private:
  using Checkpoint::Checkpoint;
  void add_file(const std::string& name);
  void read_index(const std::string& index_name);
};

}  // namespace ingot::format
