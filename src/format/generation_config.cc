#include "format/generation_config.h"

#include <algorithm>

namespace ingot::format {
namespace {

constexpr int64_t kNone = -1;
constexpr int64_t kMaxToken = INT32_MAX;

// The ids under `key`, from the first file that names any.
std::vector<int64_t> read_ids(const Config& generation, const Config& model, std::string_view key) {
  for (const Config* config : {&generation, &model}) {
    auto ids = config->get_int_list(key, kNone, kMaxToken);
    ids.erase(std::remove(ids.begin(), ids.end(), kNone), ids.end());
    if (!ids.empty()) return ids;
  }
  return {};
}

std::optional<int64_t> read_id(const Config& generation, const Config& model, std::string_view key) {
  for (const Config* config : {&generation, &model}) {
    const auto id = config->optional_int(key, kNone, kMaxToken);
    if (id && *id != kNone) return id;
  }
  return std::nullopt;
}

}  // namespace

GenerationConfig read_generation_config(const Config& generation, const Config& model) {
  GenerationConfig result;
  result.do_sample = generation.get_bool_or("do_sample", result.do_sample);
  result.temperature = generation.get_double_or("temperature", result.temperature, 0, 1000);
  result.top_k = generation.get_int_or("top_k", result.top_k, 0, kMaxToken);
  result.top_p = generation.get_double_or("top_p", result.top_p, 0, 1);
  result.min_p = generation.get_double_or("min_p", result.min_p, 0, 1);
  // Logits are divided by it: zero and below have no meaning.
  result.repetition_penalty =
      generation.get_double_or("repetition_penalty", result.repetition_penalty, 1e-3, 1000);
  result.max_new_tokens = generation.optional_int("max_new_tokens", 1, kMaxToken);
  result.bos_token_id = read_id(generation, model, "bos_token_id");
  result.eos_token_ids = read_ids(generation, model, "eos_token_id");
  result.pad_token_id = read_id(generation, model, "pad_token_id");
  return result;
}

}  // namespace ingot::format
