#include "cli/tiny_checkpoint.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <stdexcept>

namespace ingot::cli_test {
namespace {

using nlohmann::ordered_json;

constexpr size_t kLengthBytes = 8;
constexpr int64_t kHidden = 32;
constexpr int64_t kFfn = 48;
constexpr int64_t kLayers = 2;
constexpr int64_t kHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kHeadDim = 8;

std::string utf8(unsigned code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0U | code >> 6), static_cast<char>(0x80U | (code & 0x3FU))};
}

/// How byte-level tokenizers spell a byte: printable Latin-1 as itself, the others from U+0100 on.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> spellings;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    spellings.push_back(utf8(printable ? byte : next++));
  }
  return spellings;
}

ordered_json byte_level_tokenizer() {
  ordered_json vocab;
  vocab["<|end|>"] = 0;
  for (const std::string& spelling : byte_spellings()) vocab[spelling] = vocab.size();
  vocab["th"] = vocab.size();
  vocab["the"] = vocab.size();
  const ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const ordered_json end_of_text = {{"id", 0},         {"content", "<|end|>"}, {"single_word", false},
                                    {"lstrip", false}, {"rstrip", false},      {"normalized", false},
                                    {"special", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", ordered_json::array({end_of_text})},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", vocab},
            {"merges", ordered_json::array({"t h", "th e"})}}}};
}

std::string shard_of(const std::string& tensor) {
  if (tensor.find("layers.0.") != std::string::npos) return "model-00001-of-00003.safetensors";
  if (tensor.find("layers.1.") != std::string::npos) return "model-00002-of-00003.safetensors";
  return "model-00003-of-00003.safetensors";
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "ingot-cli-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TempFolder::write(const std::string& name, std::string_view content) const {
  std::ofstream file(path_ / name, std::ios::binary);
  file << content;
  if (!file.flush()) throw std::runtime_error("cannot write " + path(name));
}

std::string TempFolder::read(const std::string& name) const {
  std::ifstream file(path_ / name, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path(name));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TinyCheckpoint::TinyCheckpoint()
    : config({{"architectures", ordered_json::array({"LlamaForCausalLM"})},
              {"model_type", "llama"},
              {"vocab_size", kRows},
              {"hidden_size", kHidden},
              {"intermediate_size", kFfn},
              {"num_hidden_layers", kLayers},
              {"num_attention_heads", kHeads},
              {"num_key_value_heads", kKvHeads},
              {"head_dim", kHeadDim},
              {"hidden_act", "silu"},
              {"max_position_embeddings", kContext},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000.0},
              {"tie_word_embeddings", true},
              {"bos_token_id", 0},
              {"eos_token_id", nullptr},
              {"torch_dtype", "float32"}}),
      generation_config({{"bos_token_id", 0}, {"do_sample", true}, {"temperature", 1.0}}),
      tokenizer(byte_level_tokenizer()),
      tokenizer_config({{"bos_token", "<|end|>"}}) {
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    TinyTensor& tensor = tensors[name];
    tensor.shape = std::move(shape);
    int64_t count = 1;
    for (int64_t dimension : tensor.shape) count *= dimension;
    // Norms around 1, the rest around 0; mt19937 gives the same numbers everywhere.
    const bool is_norm = tensor.shape.size() == 1;
    for (int64_t i = 0; i < count; ++i) {
      const float uniform = static_cast<float>(random() >> 8) / static_cast<float>(1 << 24) - 0.5F;
      tensor.values.push_back(is_norm ? 1 + 0.1F * uniform : 0.5F * uniform);
    }
  };
  add("model.embed_tokens.weight", {kRows, kHidden});
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm.weight", {kHidden});
    add(prefix + "self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden});
    add(prefix + "self_attn.k_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add(prefix + "self_attn.v_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add(prefix + "self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim});
    add(prefix + "post_attention_layernorm.weight", {kHidden});
    add(prefix + "mlp.gate_proj.weight", {kFfn, kHidden});
    add(prefix + "mlp.up_proj.weight", {kFfn, kHidden});
    add(prefix + "mlp.down_proj.weight", {kHidden, kFfn});
  }
  add("model.norm.weight", {kHidden});
}

void TinyCheckpoint::write(const TempFolder& folder) const {
  const auto write_json = [&](const std::string& name, const ordered_json& value) {
    if (!value.is_null()) folder.write(name, value.dump(1));
  };
  write_json("config.json", config);
  write_json("generation_config.json", generation_config);
  write_json("tokenizer.json", tokenizer);
  write_json("tokenizer_config.json", tokenizer_config);
  folder.write("model.safetensors", safetensors());
}

void TinyCheckpoint::write_sharded(const TempFolder& folder) const {
  write(folder);
  std::filesystem::remove(folder.path("model.safetensors"));
  std::map<std::string, std::map<std::string, TinyTensor>> shards;
  for (const auto& [name, tensor] : tensors) shards[shard_of(name)][name] = tensor;
  for (const auto& [name, shard] : shards) folder.write(name, safetensors(shard));
  folder.write("model.safetensors.index.json", index().dump(1));
}

ordered_json TinyCheckpoint::index() const {
  ordered_json map = ordered_json::object();
  for (const auto& [name, tensor] : tensors) map[name] = shard_of(name);
  return {{"metadata", ordered_json::object()}, {"weight_map", map}};
}

std::string TinyCheckpoint::safetensors(const std::map<std::string, TinyTensor>& tensors) {
  ordered_json header = ordered_json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // as writers pad it: values stay aligned
  return safetensors(text, data);
}

std::string TinyCheckpoint::safetensors(std::string_view header, std::string_view data) {
  return safetensors(header, data, header.size());
}

std::string TinyCheckpoint::safetensors(std::string_view header, std::string_view data, uint64_t claimed) {
  std::string bytes;
  for (unsigned i = 0; i < kLengthBytes; ++i) bytes.push_back(static_cast<char>(claimed >> (8 * i) & 0xFFU));
  bytes += header;
  bytes += data;
  return bytes;
}

ordered_json TinyCheckpoint::header_of(const std::string& bytes) {
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);  // little-endian, as the machines that run this
  return ordered_json::parse(bytes.substr(kLengthBytes, length));
}

std::string TinyCheckpoint::data_of(const std::string& bytes) {
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  return bytes.substr(kLengthBytes + length);
}

}  // namespace ingot::cli_test
