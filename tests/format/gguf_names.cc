#include "format/gguf_names.h"

#include <gtest/gtest.h>

namespace ingot::format {
namespace {

std::string to_hf(std::string_view architecture, std::string_view name) {
  const auto found = hf_tensor_name(*find_gguf_architecture(architecture), name);
  return found ? found->name : "";
}
std::string to_gguf(std::string_view architecture, std::string_view name) {
  const auto found = gguf_tensor_name(*find_gguf_architecture(architecture), name);
  return found ? found->name : "";
}

TEST(GgufNames, EveryNameReadsInBothDirections) {
  for (const GgufArchitecture& architecture : gguf_architectures()) {
    for (const GgufTensorName& entry : architecture.tensors) {
      std::string name(entry.gguf);
      if (const size_t at = name.find("{}"); at != std::string::npos) name.replace(at, 2, "12");
      for (const char* part : {".weight", ".bias"}) {
        const auto hf = hf_tensor_name(architecture, name + part);
        ASSERT_TRUE(hf) << name;
        const auto back = gguf_tensor_name(architecture, hf->name);
        ASSERT_TRUE(back) << hf->name;
        EXPECT_EQ(back->name, name + part);
        EXPECT_EQ(back->rows, entry.rows);
      }
    }
  }
}

TEST(GgufNames, LayersKeepTheirNumber) {
  EXPECT_EQ(to_hf("llama", "blk.31.attn_q.weight"), "model.layers.31.self_attn.q_proj.weight");
  EXPECT_EQ(to_gguf("qwen3", "model.layers.0.self_attn.k_norm.weight"), "blk.0.attn_k_norm.weight");
  EXPECT_EQ(to_hf("gpt2", "blk.2.attn_qkv.bias"), "h.2.attn.c_attn.bias");
  EXPECT_EQ(to_gguf("gpt2", "transformer.h.2.mlp.c_fc.weight"), "blk.2.ffn_up.weight");
}

TEST(GgufNames, NamesWithoutACounterpartHaveNone) {
  for (const char* name : {"blk.0.attn_q", "blk.0.attn_q.scale", "blk..attn_q.weight", "blk.x.attn_q.weight",
                           "blk.01.attn_q.weight", "blk.-1.attn_q.weight", "blk.12345678.attn_q.weight",
                           "blk.0.ffn_gate_exps.weight", "rope_freqs.weight", "output", "", ".weight"}) {
    EXPECT_EQ(to_hf("llama", name), "") << name;
  }
  EXPECT_EQ(to_gguf("llama", "transformer.model.norm.weight"), "");
}

TEST(GgufNames, MistralsAreLlamas) {
  ASSERT_NE(gguf_architecture_of("mistral"), nullptr);
  EXPECT_EQ(gguf_architecture_of("mistral")->name, "llama");
  EXPECT_EQ(gguf_architecture_of("qwen3")->name, "qwen3");
  EXPECT_EQ(gguf_architecture_of("mamba"), nullptr);
}

}  // namespace
}  // namespace ingot::format
