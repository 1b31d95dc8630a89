// The checkpoint that ships with Ingot, and the figures that PyTorch gave for it.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

namespace ingot::cli_test {

inline std::string storyteller() {
  return INGOT_SOURCE_DIR "/models/storyteller";
}

/// Throws where the checkpoint is absent: tests that need it fail then.
inline nlohmann::json storyteller_reference() {
  std::ifstream file(storyteller() + "/reference.json");
  if (!file) throw std::runtime_error(storyteller() + "/reference.json is missing");
  return nlohmann::json::parse(file);
}

}  // namespace ingot::cli_test
