#include "graph/ops/attention.h"

#include <cmath>
#include <optional>

#include "opcases/step.h"

namespace ingot::opcases {
namespace {

struct Shape4 {
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t head_dim = 16;
  int64_t page_tokens = 32;
};

OpCase situation(std::string_view name, const std::vector<StepPart>& parts, Shape4 s, int64_t window = 0,
                 int64_t padding = 0, std::optional<float> scale = std::nullopt) {
  const PagedStep step(parts, s.page_tokens, padding);
  return {.name = fmt::format("attention/{}/{}of{}x{}{}", name, s.heads, s.kv_heads, s.head_dim,
                              window > 0 ? fmt::format("/window{}", window) : ""),
          .dims = step.dims,
          .build =
              [=](CaseBuilder& b) {
                const Value q = b.f32({Symbol::tokens, s.heads, s.head_dim}, 4);
                const Value keys = b.state({Symbol::cache_pages, s.kv_heads, s.page_tokens, s.head_dim});
                const Value values = b.state({Symbol::cache_pages, s.kv_heads, s.page_tokens, s.head_dim});
                graph::AttentionInputs inputs;
                inputs.seq_start = b.i32({Dim(Symbol::sequences) + Dim(1)}, step.seq_start);
                inputs.context_len = b.i32({Symbol::sequences}, step.context_len);
                inputs.block_table = b.i32({Symbol::sequences, Symbol::pages}, step.block_table);
                return graph::attention(b.graph(), q, keys, values, inputs,
                                        scale.value_or(1.0F / std::sqrt(static_cast<float>(s.head_dim))),
                                        window);
              },
          // A score, of magnitude up to about 8, is off by some epsilon of itself, and a weight by as much of
          // itself; the output is a mean of values in [-1, 1) under these weights.
          .tolerance = {.absolute = 24 * kEpsilon, .relative = 0},
          // With q, keys, weights and values rounded by up to u, a score deviates by 1.1 u (4 / sqrt(3) for
          // q, 1 / sqrt(3) for a key, sqrt(2 / 3) u for the rounding, sqrt(head_dim) * scale = 1). The output
          // moves most where two keys share all weight: by a quarter of both scores' errors times the values'
          // difference, 0.8 u; rounded weights and values add 0.6 u and 0.4 u. Six deviations, and a little.
          .per_rounding = 8};
}

}  // namespace

std::vector<OpCase> attention_cases() {
  std::vector<OpCase> cases;
  // One sequence, contexts around the ends of pages, key blocks (32) and pieces (512).
  for (int64_t context : {1, 2, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1024, 1025}) {
    cases.push_back(situation(fmt::format("context{}", context), {{1, context}}, {}));
    cases.push_back(situation(fmt::format("context{}", context), {{1, context}},
                              {.heads = 6, .kv_heads = 1, .head_dim = 7}));
    for (int64_t window : {1, 7, 32, 100, 513, 600}) {
      cases.push_back(situation(fmt::format("context{}", context), {{1, context}}, {}, window));
    }
  }
  // Wide heads, whose keys may be cut up otherwise.
  for (int64_t context : {1025, 1153, 1280, 1281})
    cases.push_back(situation(fmt::format("context{}", context), {{1, context}},
                              {.heads = 4, .kv_heads = 1, .head_dim = 128}));
  // Any scale: what pads a vector of scores must not come to be the highest.
  for (const float scale : {-0.25F, 0.0F}) {
    cases.push_back(situation(fmt::format("scale{}", scale), {{1, 33}, {2, 45}}, {}, 0, 0, scale));
  }
  // Groups and head widths: one to many query heads a key head; below, at and above vectors.
  for (const auto& [heads, kv_heads] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {4, 4}, {9, 3}, {8, 1}, {14, 2}}) {
    for (int64_t head_dim : {1, 2, 5, 8, 16, 17, 24, 64, 80, 128}) {
      cases.push_back(
          situation("two", {{3, 37}, {2, 70}}, {.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim}));
    }
  }
  for (int64_t window : {0, 5, 40}) {
    cases.push_back(situation("prompt", {{75, 75}}, {}, window));
    cases.push_back(situation("later_chunk", {{40, 600}}, {}, window));
    cases.push_back(situation("two", {{5, 5}, {33, 600}}, {}, window));
    cases.push_back(situation("seventeen", seventeen(32), {}, window));
    cases.push_back(situation("padded", {{2, 34}, {1, 513}}, {}, window, 6));
  }
  cases.push_back(situation("short_pages", {{4, 21}, {1, 8}}, {.page_tokens = 3}));
  cases.push_back(situation("long_pages", {{4, 300}, {1, 80}}, {.page_tokens = 256}, 90));
  cases.push_back(situation("only_padding", {}, {}, 0, 3));
  cases.push_back(situation("nothing", {}, {}));
  OpCase decode = situation("speed/decode", std::vector<StepPart>(4, {1, 1024}),
                            {.heads = 8, .kv_heads = 2, .head_dim = 64});
  decode.is_speed_case = true;
  cases.push_back(std::move(decode));
  OpCase prefill = situation("speed/prefill", {{128, 256}}, {.heads = 8, .kv_heads = 2, .head_dim = 64});
  prefill.is_speed_case = true;
  cases.push_back(std::move(prefill));
  return cases;
}

std::vector<BadCase> attention_bad_cases() {
  struct Types {
    TensorType q{DType::f32, {Symbol::tokens, 4, 8}};
    TensorType keys{DType::f32, {Symbol::cache_pages, 2, 32, 8}};
    TensorType values{DType::f32, {Symbol::cache_pages, 2, 32, 8}};
    TensorType seq_start{DType::i32, {Dim(Symbol::sequences) + Dim(1)}};
    TensorType context_len{DType::i32, {Symbol::sequences}};
    TensorType block_table{DType::i32, {Symbol::sequences, Symbol::pages}};
    int64_t window = 0;
  };
  const auto with = [](const std::function<void(Types&)>& change) {
    return [=](Graph& g) {
      Types t;
      change(t);
      const Value q = g.input("q", t.q);
      const Value keys = g.state("keys", t.keys);
      const Value values = g.state("values", t.values);
      graph::AttentionInputs inputs;
      inputs.seq_start = g.input("seq_start", t.seq_start);
      inputs.context_len = g.input("context_len", t.context_len);
      inputs.block_table = g.input("block_table", t.block_table);
      graph::attention(g, q, keys, values, inputs, 1, t.window);
    };
  };
  const auto set = [](int64_t kv_heads) {
    return [kv_heads](Types& t) {
      t.keys.dims[1] = kv_heads;
      t.values.dims[1] = kv_heads;
    };
  };
  return {
      {"q_of_rank_2", with([](Types& t) {
         t.q = {DType::f32, {Symbol::tokens, 32}};
       }),
       "attention: expected q of rank 3, found f32[T, 32]"},
      {"q_of_f16", with([](Types& t) { t.q.dtype = DType::f16; }),
       "attention: expected q of type f32, found f16[T, 4, 8]"},
      {"keys_of_rank_3", with([](Types& t) { t.keys.dims.pop_back(); }),
       "attention: expected the key cache of rank 4, found f32[C, 2, 32]"},
      {"values_of_f16", with([](Types& t) { t.values.dtype = DType::f16; }),
       "attention: expected the value cache of type f32, found f16[C, 2, 32, 8]"},
      {"keys_of_another_head_dim", with([](Types& t) { t.keys.dims[3] = 9; }),
       "attention: expected the key cache to be 8, found 9"},
      {"values_of_other_pages", with([](Types& t) { t.values.dims[2] = 16; }),
       "attention: expected a value cache like the key cache f32[C, 2, 32, 8], found f32[C, 2, 16, 8]"},
      {"heads_that_do_not_divide", with(set(3)), "attention: expected kv_heads to divide 4 heads, found 3"},
      {"no_kv_heads", with(set(0)), "attention: expected kv_heads to divide 4 heads, found 0"},
      {"seq_start_without_its_end", with([](Types& t) { t.seq_start.dims[0] = Symbol::sequences; }),
       "attention: expected seq_start's length to be S+1, found S"},
      {"context_len_of_rank_2", with([](Types& t) { t.context_len.dims.emplace_back(1); }),
       "attention: expected context_len of rank 1, found i32[S, 1]"},
      {"block_table_of_floats", with([](Types& t) { t.block_table.dtype = DType::f32; }),
       "attention: expected step inputs of type i32, found f32[S, P]"},
      {"block_table_of_tokens", with([](Types& t) { t.block_table.dims[0] = Symbol::tokens; }),
       "attention: expected block_table's rows to be S, found T"},
      {"negative_window", with([](Types& t) { t.window = -1; }),
       "attention: expected a window >= 0, found -1"},
  };
}

}  // namespace ingot::opcases
