// Which type each tensor gets: the mixtures that users know by name, as llama.cpp made them known.
//
// Pure functions, thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ingot/dtype.h"

namespace ingot::api {

struct Recipe {
  std::string_view name;
  std::string_view description;
  uint32_t file_type;  // general.file_type
  DType layers;        // the matrices of the layers, but for `finer`
  DType finer;         // attn_v and ffn_down of the layers that matter most
  DType embeddings;    // token_embd, where the head is another tensor
  DType head;          // output, or the token_embd that is one with it
};

std::span<const Recipe> recipes();
/// Errors: invalid_argument, listing what exists.
const Recipe& find_recipe(std::string_view name);

/// The model around a tensor.
struct RecipeModel {
  int64_t layers = 0;
  bool has_output = false;  // a head that is not the embedding
};

struct TensorType {
  DType wanted;
  DType used;  // another where the rows are no whole blocks
};

/// `name`: as GGUF has it. `from`: the type it has now; a tensor that is not a number of a model (i32 …)
/// keeps it.
TensorType choose_type(const Recipe& recipe, const RecipeModel& model, std::string_view name,
                       std::span<const int64_t> shape, DType from);

/// "blk.12.attn_v.weight" has 12; other names -1.
int64_t layer_of(std::string_view name);

}  // namespace ingot::api
