#include "graph/ops/linear_qkv.h"

#include <algorithm>

#include "opcases/linear_tolerance.h"
#include "opcases/step.h"

namespace ingot::opcases {
namespace {

using graph::NormPrologue;
using graph::QkvForm;
using graph::RopeStyle;
using graph::WeightOrder;
using NormKind = graph::NormPrologue::Kind;

constexpr NormPrologue kRms{.kind = NormKind::rms, .eps = 1e-5F};
constexpr NormPrologue kLayer{.kind = NormKind::layer, .eps = 1e-5F};

struct Situation {
  std::string step_name;
  std::vector<StepPart> parts;
  QkvForm form;
  std::vector<DType> weights = {};  // of q, k and v; a joint weight has the first
  DType parameters = DType::f32;    // biases and norms
  int64_t in = 1;
  int64_t rotary = 0;
  int64_t padding = 0;
  int64_t page_tokens = 32;
};

std::string describe(const Situation& s) {
  const QkvForm& f = s.form;
  std::string text = fmt::format("linear_qkv/{}", s.step_name);
  text += f.norm.kind == NormKind::none ? "/plain" : f.norm.kind == NormKind::rms ? "/rms" : "/layer";
  text += f.is_joint ? "/joint" : "";
  for (size_t i = 0; i < f.parts(); ++i) text += fmt::format("/{}", to_string(s.weights[i]));
  if (f.order == WeightOrder::in_out) text += "/in_out";
  if (f.has_bias) text += fmt::format("+{}", to_string(s.parameters));
  if (f.head_norm_eps) text += "/head_norm";
  if (f.rope) text += fmt::format("/{}_{}", *f.rope == RopeStyle::half ? "half" : "interleaved", s.rotary);
  return text + fmt::format("/{}x{}+{}x{}", s.in, f.heads, f.kv_heads, f.head_dim);
}

Tolerance tolerance_of(const Situation& s) {
  double error = linear_error(s.in, s.form.norm.kind);
  // A normalised row is up to three times as large as a uniform one.
  const double x_scale = s.form.norm.kind == NormKind::none ? 1 : 3;
  double of_blocks = 0;
  for (DType weight : s.weights)
    of_blocks = std::max(of_blocks, activation_error(weight, s.in, x_scale) * weight_scale(s.in));
  error += of_blocks;
  // A head's norm divides by its deviation, which may be a quarter of the usual one where heads are narrow.
  if (s.form.head_norm_eps) error = 4 * error + 12 * 4 * kEpsilon;
  // Rotation adds two products with numbers below 1 and rounds numbers below 8.
  if (s.form.rope) error = 2 * error + 16 * kEpsilon;
  return {.absolute = error, .relative = 8 * kEpsilon};
}

double per_rounding_of(const Situation& s) {
  double error = linear_rounding_error(s.in, s.form.norm.kind);
  if (s.form.head_norm_eps) error *= 4;  // as above
  if (s.form.rope) error *= 2;
  return error;
}

OpCase situation(const Situation& s) {
  const PagedStep step(s.parts, s.page_tokens, s.padding);
  return {.name = describe(s),
          .dims = step.dims,
          .build =
              [=](CaseBuilder& b) {
                const QkvForm& f = s.form;
                std::vector<Value> inputs{b.f32({Symbol::tokens, s.in})};
                for (int i = 0; i < f.norm.inputs(); ++i) inputs.push_back(b.weight(s.parameters, {s.in}));
                for (size_t i = 0; i < f.parts(); ++i) {
                  const int64_t out = f.is_joint ? f.q_width() + 2 * f.kv_width()
                                      : i == 0   ? f.q_width()
                                                 : f.kv_width();
                  const bool out_in = f.order == WeightOrder::out_in;
                  inputs.push_back(b.weight(s.weights[i], out_in ? Shape{out, s.in} : Shape{s.in, out},
                                            weight_scale(s.in)));
                  if (f.has_bias) inputs.push_back(b.weight(s.parameters, {out}));
                }
                for (int i = 0; f.head_norm_eps && i < 2; ++i)
                  inputs.push_back(b.weight(s.parameters, {f.head_dim}));
                if (f.rope) inputs.push_back(b.f32({Symbol::tokens, s.rotary}));
                inputs.push_back(b.i32({Symbol::tokens}, step.slots));
                const std::vector<Dim> cache{Symbol::cache_pages, f.kv_heads, s.page_tokens, f.head_dim};
                inputs.push_back(b.state(cache));
                inputs.push_back(b.state(cache));
                return b.graph().append(std::make_shared<graph::LinearQkvOp>(f), std::move(inputs));
              },
          .tolerance = tolerance_of(s),
          .per_rounding = per_rounding_of(s),
          .rows_are_independent = true};
}

struct Heads {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t rotary;
};

/// Every form over a few steps; types take turns.
void forms(std::vector<OpCase>& cases) {
  struct Step {
    std::string name;
    std::vector<StepPart> parts;
    int64_t padding = 0;
    int64_t page_tokens = 32;
  };
  const std::vector<Step> steps{
      {"one", {{1, 1}}},
      {"two", {{1, 7}, {1, 40}}},
      {"padded", {{2, 9}, {1, 33}}, 2},
      {"three", {{3, 35}}, 0, 3},
      {"seventeen_and_more", seventeen(32)},
      {"thirty_three", {{32, 70}}, 1},
  };
  const Heads heads[] = {{4, 2, 16, 16}, {3, 1, 10, 10}, {2, 2, 80, 32}, {1, 1, 7, 4}, {6, 3, 8, 8}};
  const NormPrologue norms[] = {{}, kRms, kLayer};
  const std::optional<RopeStyle> ropes[] = {RopeStyle::half, std::nullopt, RopeStyle::interleaved};
  size_t turn = 0;
  for (bool is_joint : {false, true}) {
    for (WeightOrder order : {WeightOrder::out_in, WeightOrder::in_out}) {
      for (std::optional<RopeStyle> rope : ropes) {
        for (bool has_head_norm : {false, true}) {
          for (size_t i = 0; i < 6; ++i, ++turn) {
            const Step& step = steps[(turn + turn / 6) % 6];
            const Heads& h = heads[turn % 5];
            Situation s{.step_name = step.name,
                        .parts = step.parts,
                        .form = {.norm = norms[turn % 3],
                                 .order = order,
                                 .is_joint = is_joint,
                                 .has_bias = turn / 2 % 2 != 0,
                                 .heads = h.heads,
                                 .kv_heads = h.kv_heads,
                                 .head_dim = h.head_dim,
                                 .rope = rope},
                        .in = turn % 2 == 0 ? 67 : 32,
                        .rotary = h.rotary,
                        .padding = step.padding,
                        .page_tokens = step.page_tokens};
            if (has_head_norm) s.form.head_norm_eps = 1e-6F;
            s.parameters = kWeightTypes[turn / 3 % 3];
            for (size_t part = 0; part < 3; ++part)
              s.weights.push_back(kWeightTypes[(turn + (turn % 4 == 3 ? part : 0)) % 3]);
            cases.push_back(situation(s));
          }
        }
      }
    }
  }
}

/// Every block format, of all heads, or of queries and keys with others in the values, as quantised
/// checkpoints have them.
void blocks(std::vector<OpCase>& cases) {
  const NormPrologue norms[] = {kRms, {}, kLayer};
  constexpr size_t kCount = std::size(kBlockTypes);
  for (size_t turn = 0; turn < 3 * kCount; ++turn) {
    const DType dtype = kBlockTypes[turn % kCount];
    const DType other = turn % 4 == 0 ? DType::bf16 : kBlockTypes[(turn + 1) % kCount];
    const size_t kind = turn / kCount;  // all alike, joint, mixed
    Situation s{.step_name = "blocks",
                .parts = {{1, 7}, {1 + static_cast<int64_t>(turn % 3), 40}},
                .form = {.norm = norms[turn % 3],
                         .is_joint = kind == 1,
                         .has_bias = turn % 2 != 0,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_dim = turn % 2 == 0 ? 16 : 10,
                         .rope = RopeStyle::half},
                .weights = {dtype, dtype, kind == 2 ? other : dtype},
                .in = kind == 2 || block_of(dtype).elements == 256 ? 512 : 160,
                .rotary = 8};
    if (turn % 2 != 0) s.form.head_norm_eps = 1e-6F;
    cases.push_back(situation(s));
  }
}

/// Some 10 to 64 rows whose pairs are a power of two: of bf16, kernels may place the heads that they
/// multiply.
void batches(std::vector<OpCase>& cases) {
  const Heads heads[] = {{3, 1, 32, 32}, {5, 1, 64, 64}, {2, 2, 128, 128}, {2, 1, 256, 256}, {2, 1, 96, 96}};
  const int64_t rows[] = {9, 16, 17, 31, 33, 48, 50, 62};
  for (size_t turn = 0; turn < 2 * std::size(rows); ++turn) {
    const Heads& h = heads[turn % std::size(heads)];
    const int64_t count = rows[turn % std::size(rows)];
    Situation s{.step_name = fmt::format("batch_{}", count),
                .parts = {{count - 2, 70}, {1, 5}, {1, 33}},
                .form = {.norm = kRms,
                         .has_bias = turn % 7 == 6,
                         .heads = h.heads,
                         .kv_heads = h.kv_heads,
                         .head_dim = h.head_dim,
                         .rope = RopeStyle::half},
                .weights = {3, DType::bf16},
                .in = turn % 2 == 0 ? 1344 : 520,
                .rotary = h.rotary,
                .padding = static_cast<int64_t>(turn % 3)};
    cases.push_back(situation(s));
  }
}

OpCase speed(std::string name, const QkvForm& form, DType dtype, int64_t rows, int64_t in) {
  Situation s{.step_name = "speed_" + std::move(name),
              .parts = {{rows, 256}},
              .form = form,
              .weights = {dtype, dtype, dtype},
              .parameters = is_block_dtype(dtype) ? DType::f32 : dtype,
              .in = in,
              .rotary = form.head_dim};
  s.step_name += fmt::format("_{}", rows);
  OpCase op_case = situation(s);
  op_case.is_speed_case = true;
  return op_case;
}

}  // namespace

std::vector<OpCase> linear_qkv_cases() {
  std::vector<OpCase> cases;
  forms(cases);
  blocks(cases);
  batches(cases);
  const QkvForm small{.norm = kRms, .heads = 2, .kv_heads = 1, .head_dim = 8, .rope = RopeStyle::half};
  Situation edge{
      .step_name = "nothing", .parts = {}, .form = small, .weights = {3, DType::bf16}, .in = 24, .rotary = 8};
  cases.push_back(situation(edge));
  edge.step_name = "padding_alone";
  edge.padding = 3;
  cases.push_back(situation(edge));
  for (int64_t in : {0, 1, 257, 513}) {
    edge.step_name = "widths";
    edge.parts = {{1, 4}, {2, 33}};
    edge.in = in;
    cases.push_back(situation(edge));
  }
  edge.form.heads = 40;  // more heads than any thread's share, and several blocks of outputs a head
  edge.form.kv_heads = 8;
  edge.form.head_dim = 136;
  edge.rotary = 136;
  edge.in = 33;
  cases.push_back(situation(edge));
  edge.form.order = WeightOrder::in_out;
  cases.push_back(situation(edge));
  edge.rotary = 0;  // a table of nothing
  cases.push_back(situation(edge));

  const QkvForm qwen3{.norm = kRms,
                      .heads = 16,
                      .kv_heads = 8,
                      .head_dim = 128,
                      .head_norm_eps = 1e-6F,
                      .rope = RopeStyle::half};
  cases.push_back(speed("qwen3_0.6b", qwen3, DType::bf16, 1, 1024));
  cases.push_back(speed("qwen3_0.6b", qwen3, DType::q8_0, 1, 1024));
  cases.push_back(speed("qwen3_0.6b", qwen3, DType::q4_k, 1, 1024));
  const QkvForm storyteller{.norm = kRms, .heads = 6, .kv_heads = 2, .head_dim = 64, .rope = RopeStyle::half};
  cases.push_back(speed("storyteller", storyteller, DType::bf16, 1, 384));
  const QkvForm smollm{.norm = kRms, .heads = 9, .kv_heads = 3, .head_dim = 64, .rope = RopeStyle::half};
  cases.push_back(speed("smollm_135m", smollm, DType::bf16, 128, 576));
  const QkvForm gpt2{.norm = kLayer,
                     .order = WeightOrder::in_out,
                     .is_joint = true,
                     .has_bias = true,
                     .heads = 12,
                     .kv_heads = 12,
                     .head_dim = 64};
  cases.push_back(speed("gpt2", gpt2, DType::f32, 1, 768));
  cases.push_back(speed("gpt2", gpt2, DType::f32, 128, 768));
  return cases;
}

std::vector<BadCase> linear_qkv_bad_cases() {
  struct Operands {
    TensorType x{DType::f32, {Symbol::tokens, 4}};
    TensorType wq{DType::bf16, {16, 4}};
    TensorType wk{DType::bf16, {8, 4}};
    TensorType wv{DType::bf16, {8, 4}};
    TensorType k_norm{DType::f32, {8}};
    TensorType table{DType::f32, {Symbol::tokens, 8}};
    TensorType slots{DType::i32, {Symbol::tokens}};
    TensorType keys{DType::f32, {Symbol::cache_pages, 1, 32, 8}};
  };
  const auto with = [](const Operands& o) {
    return [=](Graph& g) {
      const QkvForm form{
          .heads = 2, .kv_heads = 1, .head_dim = 8, .head_norm_eps = 1e-6F, .rope = RopeStyle::half};
      std::vector<Value> inputs;
      for (const TensorType& type :
           {o.x, o.wq, o.wk, o.wv, TensorType{DType::f32, {8}}, o.k_norm, o.table, o.slots}) {
        inputs.push_back(input(g, type.dtype, type.dims));
      }
      inputs.push_back(g.state("keys", o.keys));
      inputs.push_back(g.state("values", {DType::f32, {Symbol::cache_pages, 1, 32, 8}}));
      g.append(std::make_shared<graph::LinearQkvOp>(form), std::move(inputs));
    };
  };
  Operands rank;
  rank.x = {DType::f32, {Symbol::tokens, 2, 2}};
  Operands narrow_q;
  narrow_q.wq = {DType::bf16, {15, 4}};
  Operands wide_k;
  wide_k.wk = {DType::bf16, {9, 4}};
  Operands other_in;
  other_in.wv = {DType::bf16, {8, 5}};
  Operands norm;
  norm.k_norm = {DType::f32, {7}};
  Operands table;
  table.table = {DType::f32, {Symbol::tokens, 10}};
  Operands slots;
  slots.slots = {DType::i32, {Symbol::sequences}};
  Operands keys;
  keys.keys = {DType::f32, {Symbol::cache_pages, 2, 32, 8}};
  const auto joint = [](const TensorType& weight) {
    return [=](Graph& g) {
      const QkvForm form{.is_joint = true, .heads = 2, .kv_heads = 1, .head_dim = 8};
      std::vector<Value> inputs{input(g, DType::f32, {Symbol::tokens, 4}),
                                input(g, weight.dtype, weight.dims), input(g, DType::i32, {Symbol::tokens})};
      for (const char* name : {"keys", "values"})
        inputs.push_back(g.state(name, {DType::f32, {Symbol::cache_pages, 1, 32, 8}}));
      g.append(std::make_shared<graph::LinearQkvOp>(form), std::move(inputs));
    };
  };
  return {
      {"x_of_rank_3", with(rank), "linear: expected x of rank 2, found f32[T, 2, 2]"},
      {"queries_that_are_no_heads", with(narrow_q),
       "reshape: expected as many elements as f32[T, 15], found f32[T, 2, 8]"},
      {"keys_that_are_no_heads", with(wide_k),
       "reshape: expected as many elements as f32[T, 9], found f32[T, 1, 8]"},
      {"values_of_another_input_width", with(other_in),
       "linear: expected the weight's input width to be 4, found 5"},
      {"norm_of_another_width", with(norm), "rms_norm: expected the weight to be 8, found 7"},
      {"table_wider_than_heads", with(table),
       "rope: expected an even number of rotary dimensions <= 8, found 10"},
      {"slots_of_sequences", with(slots), "kv_write: expected the number of slots to be T, found S"},
      {"keys_of_other_heads", with(keys), "kv_write: expected x's heads to be 2, found 1"},
      {"joint_weight_too_narrow", joint({DType::f32, {31, 4}}),
       "slice: expected a range within 0:31, found 24:32"},
  };
}

}  // namespace ingot::opcases
