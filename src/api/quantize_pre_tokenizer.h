// Which published pre-tokenizer a tokenizer.json has, by comparing what it says with what each name stands
// for.
//
// Pure functions, thread safe.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ingot::api {

struct PreTokenizerName {
  std::string_view name;  // of tokenizer.ggml.pre
  std::string note;       // where it is equal but for the normal form of Unicode
};

/// `tokenizer`: the settings of a byte-level tokenizer.json. Nothing where no name says the same.
std::optional<PreTokenizerName> find_pre_tokenizer_name(const nlohmann::json& tokenizer);

}  // namespace ingot::api
