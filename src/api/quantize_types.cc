#include "api/quantize_types.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <vector>

#include "base/check.h"

namespace ingot::api {
namespace {

constexpr std::array kRecipes = {
    Recipe{"f32", "4 bytes a weight, as exact as the checkpoint", 0, DType::f32, DType::f32, DType::f32,
           DType::f32},
    Recipe{"f16", "2 bytes, 11 significant bits", 1, DType::f16, DType::f16, DType::f16, DType::f16},
    Recipe{"bf16", "2 bytes, 8 significant bits; what most checkpoints hold", 32, DType::bf16, DType::bf16,
           DType::bf16, DType::bf16},
    Recipe{"q8_0", "8.5 bits, next to no loss", 7, DType::q8_0, DType::q8_0, DType::q8_0, DType::q8_0},
    Recipe{"q6_k", "6.6 bits, very small loss", 18, DType::q6_k, DType::q6_k, DType::q6_k, DType::q6_k},
    Recipe{"q4_k_m", "about 4.8 bits: q4_k, and q6_k where it matters most", 15, DType::q4_k, DType::q6_k,
           DType::q4_k, DType::q6_k},
    Recipe{"q4_k", "4.5 bits: q4_k throughout (q4_k_s)", 14, DType::q4_k, DType::q4_k, DType::q4_k,
           DType::q4_k},
    Recipe{"q4_0", "4.5 bits, the oldest and simplest; q6_k for the head", 2, DType::q4_0, DType::q4_0,
           DType::q4_0, DType::q6_k},
    Recipe{"mxfp4", "4.25 bits of OCP microscaling floats; q8_0 for embedding and head", 38, DType::mxfp4,
           DType::mxfp4, DType::q8_0, DType::q8_0},
};

constexpr std::string_view kLayerPrefix = "blk.";

bool holds(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

/// The first and the last eighth of the layers and every third between: errors there cost most.
bool is_fine_layer(int64_t layer, int64_t layers) {
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

/// What a matrix multiplication reads row by row. Tables and routers are small and sensitive.
bool is_matrix(std::string_view name, std::span<const int64_t> shape) {
  if (shape.size() < 2 || !name.ends_with(".weight")) return false;
  return !holds(name, "norm") && !holds(name, "position_embd") && !holds(name, "token_types") &&
         !holds(name, "ffn_gate_inp") && !holds(name, "ssm_conv1d") && !holds(name, "rope_");
}

DType wanted_type(const Recipe& recipe, const RecipeModel& model, std::string_view name) {
  if (name == "output.weight") return recipe.head;
  if (name == "token_embd.weight") return model.has_output ? recipe.embeddings : recipe.head;
  // A fused attn_qkv holds the values too.
  const bool matters = holds(name, "attn_v.") || holds(name, "attn_qkv.") || holds(name, "ffn_down");
  if (matters && is_fine_layer(layer_of(name), model.layers)) return recipe.finer;
  return recipe.layers;
}

/// Of a type whose blocks are longer, the next in size that has short ones; f16 where even those are too
/// long.
DType fitting(DType wanted, int64_t width) {
  if (width % block_of(wanted).elements == 0) return wanted;
  DType shorter = DType::f16;
  if (wanted == DType::q4_k) shorter = DType::q5_0;
  if (wanted == DType::q6_k) shorter = DType::q8_0;
  return width % block_of(shorter).elements == 0 ? shorter : DType::f16;
}

}  // namespace

std::span<const Recipe> recipes() {
  return kRecipes;
}

const Recipe& find_recipe(std::string_view name) {
  if (name == "q4_k_s") name = "q4_k";
  const auto* const found = std::find_if(kRecipes.begin(), kRecipes.end(),
                                         [&](const Recipe& recipe) { return recipe.name == name; });
  if (found != kRecipes.end()) return *found;
  std::vector<std::string_view> names;
  for (const Recipe& recipe : kRecipes) names.push_back(recipe.name);
  fail(ErrorCode::invalid_argument, "type: expected one of {}, found '{}'", fmt::join(names, ", "), name);
}

int64_t layer_of(std::string_view name) {
  if (!name.starts_with(kLayerPrefix)) return -1;
  name.remove_prefix(kLayerPrefix.size());
  int64_t layer = -1;
  const auto read = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool is_number = read.ec == std::errc() && read.ptr != name.data() + name.size() && *read.ptr == '.';
  return is_number && layer >= 0 ? layer : -1;
}

TensorType choose_type(const Recipe& recipe, const RecipeModel& model, std::string_view name,
                       std::span<const int64_t> shape, DType from) {
  if (!is_weight_dtype(from)) return {from, from};
  if (!is_matrix(name, shape)) return {DType::f32, DType::f32};
  const DType wanted = wanted_type(recipe, model, name);
  return {wanted, fitting(wanted, shape.back())};
}

}  // namespace ingot::api
