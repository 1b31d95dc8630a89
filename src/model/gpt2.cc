// GPT-2 (Radford et al., 2019): learned positions, layer_norm before each part, linear + GELU + linear. Its
// linears are stored [in, out] (Conv1D); converters to GGUF transpose them.
#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "graph/ops/add.h"
#include "graph/ops/embedding.h"
#include "graph/ops/gelu.h"
#include "graph/ops/layer_norm.h"
#include "graph/ops/reshape.h"
#include "graph/ops/slice.h"
#include "model/architecture.h"

namespace ingot::model {
namespace {

using graph::GeluKind;
using graph::Symbol;
using graph::Value;
using graph::WeightOrder;

GeluKind read_activation(const format::Config& config) {
  const std::string name = config.get_string_or("activation_function", "gelu_new");
  if (name == "gelu") return GeluKind::erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return GeluKind::tanh;
  fail(
      ErrorCode::unsupported,
      "{}: key 'activation_function': '{}' is not supported; supported are gelu, gelu_new, gelu_pytorch_tanh",
      config.file(), name);
}

class Gpt2 final : public Architecture {
 public:
  explicit Gpt2(const format::Checkpoint& checkpoint) {
    const format::Config& config = checkpoint.config();
    Dimensions& d = dimensions_;
    d.vocab = config.get_int("vocab_size", 1, 1 << 24);
    d.hidden = config.get_int("n_embd", 1, 1 << 24);
    d.layers = config.get_int("n_layer", 1, 4096);
    d.heads = config.get_int("n_head", 1, 65536);
    d.max_positions = config.get_int_or("n_positions", 1024, 1, 1 << 24);
    if (d.hidden % d.heads != 0) {
      config.refuse("n_head", fmt::format("expected a divisor of n_embd ({}), found {}", d.hidden, d.heads));
    }
    d.kv_heads = d.heads;
    d.head_dim = d.hidden / d.heads;
    ffn_ = config.get_int_or("n_inner", 4 * d.hidden, 1, 1 << 26);
    eps_ = static_cast<float>(config.get_double_or("layer_norm_epsilon", 1e-5, 0, 1));
    activation_ = read_activation(config);
    scaled_ = config.get_bool_or("scale_attn_weights", true);
    scaled_by_layer_ = config.get_bool_or("scale_attn_by_inverse_layer_idx", false);
    tied_ = config.get_bool_or("tie_word_embeddings", true);
    order_ = checkpoint.gguf() == nullptr ? WeightOrder::in_out : WeightOrder::out_in;
    // Published both as saved from the bare transformer and from the model with its head.
    prefix_ = checkpoint.find("transformer.wte.weight") != nullptr ? "transformer." : "";
  }

  std::string_view name() const override { return "gpt2"; }

  std::vector<std::string> notes() const override {
    return {tied_ ? "tied embeddings" : "untied embeddings"};
  }

  void build(ModelBuilder& b, bool sample) const override {
    const Dimensions& d = dimensions_;
    graph::Graph& g = b.graph();
    const Value embeddings = b.weight(prefix_ + "wte.weight", {d.vocab, d.hidden});
    const Value positions = b.weight(prefix_ + "wpe.weight", {d.max_positions, d.hidden});
    // Named, since compilers evaluate arguments in orders of their own, and nodes follow.
    const Value token = embedding(g, b.tokens(), embeddings, "wte");
    const Value position = embedding(g, b.positions(), positions, "wpe");
    Value x = add(g, token, position);
    for (int64_t layer = 0; layer < d.layers; ++layer) {
      g.set_layer(static_cast<int32_t>(layer));
      const std::string prefix = fmt::format("{}h.{}.", prefix_, layer);
      x = add(g, x, attention(b, layer, prefix + "attn.", norm(b, x, prefix + "ln_1")));
      x = add(g, x, feed_forward(b, prefix + "mlp.", norm(b, x, prefix + "ln_2")));
      b.weights().ignore(prefix + "attn.bias");  // the causal mask, stored as a buffer
      b.weights().ignore(prefix + "attn.masked_bias");
    }
    g.set_layer(graph::kNoLayer);
    x = norm(b, b.logit_rows(x), prefix_ + "ln_f");
    if (tied_) b.weights().ignore("lm_head.weight");
    b.head(x, tied_ ? embeddings : b.weight("lm_head.weight", {d.vocab, d.hidden}), sample);
  }

 private:
  Value norm(ModelBuilder& b, Value x, const std::string& prefix) const {
    const Shape width{dimensions_.hidden};
    const Value weight = b.weight(prefix + ".weight", width);
    const Value bias = b.weight(prefix + ".bias", width);
    return layer_norm(b.graph(), x, weight, bias, eps_, prefix);
  }

  Value conv1d(ModelBuilder& b, Value x, const std::string& prefix, int64_t in, int64_t out) const {
    const bool is_transposed = order_ == WeightOrder::out_in;
    const Value weight = b.weight(prefix + ".weight", is_transposed ? Shape{out, in} : Shape{in, out});
    const Value bias = b.weight(prefix + ".bias", {out});
    return linear(b.graph(), x, weight, bias, order_, prefix);
  }

  Value attention(ModelBuilder& b, int64_t layer, const std::string& prefix, Value x) const {
    const Dimensions& d = dimensions_;
    const Value qkv = conv1d(b, x, prefix + "c_attn", d.hidden, 3 * d.hidden);
    const auto part = [&](int64_t i) {
      const Value columns = slice(b.graph(), qkv, 1, i * d.hidden, (i + 1) * d.hidden);
      return reshape(b.graph(), columns, {Symbol::tokens, d.heads, d.head_dim});
    };
    float scale = scaled_ ? 1.0F / std::sqrt(static_cast<float>(d.head_dim)) : 1.0F;
    if (scaled_by_layer_) scale /= static_cast<float>(layer + 1);
    const Value q = part(0);
    const Value k = part(1);
    const Value v = part(2);
    const Value mixed = b.cached_attention(layer, q, k, v, scale, 0);
    return conv1d(b, mixed, prefix + "c_proj", d.hidden, d.hidden);
  }

  Value feed_forward(ModelBuilder& b, const std::string& prefix, Value x) const {
    const Value wide = conv1d(b, x, prefix + "c_fc", dimensions_.hidden, ffn_);
    return conv1d(b, gelu(b.graph(), wide, activation_), prefix + "c_proj", ffn_, dimensions_.hidden);
  }

  int64_t ffn_ = 0;
  float eps_ = 0;
  GeluKind activation_ = GeluKind::tanh;
  WeightOrder order_ = WeightOrder::in_out;
  bool scaled_ = true;
  bool scaled_by_layer_ = false;
  bool tied_ = true;
  std::string prefix_;
};

}  // namespace

std::unique_ptr<Architecture> make_gpt2(const format::Checkpoint& checkpoint) {
  return std::make_unique<Gpt2>(checkpoint);
}

}  // namespace ingot::model
