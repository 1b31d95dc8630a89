// Cases of every op that FusedLinearOp is: linear_norm, linear_add, linear_gelu, linear_add_gelu,
// linear_silu, linear_add_silu, linear_group, linear_glu. One sweep over forms, types, widths and rows serves
// them all.
#include "graph/ops/linear_fused.h"

#include <algorithm>
#include <utility>

#include "opcases/cases.h"
#include "opcases/linear_tolerance.h"

namespace ingot::opcases {
namespace {

using graph::Activation;
using graph::LinearForm;
using graph::NormPrologue;
using graph::WeightOrder;
using NormKind = graph::NormPrologue::Kind;

constexpr WeightOrder kOrders[] = {WeightOrder::out_in, WeightOrder::in_out};
constexpr NormPrologue kRms{.kind = NormKind::rms, .eps = 1e-5F};
constexpr NormPrologue kLayer{.kind = NormKind::layer, .eps = 1e-5F};

struct Situation {
  LinearForm form;
  std::vector<DType> weights;     // of each part
  std::vector<int64_t> outs;      // of each part
  DType parameters = DType::f32;  // biases and what the norm multiplies and adds
  std::optional<DType> row = {};  // what form.add adds: a row of this type, or f32 [T, out]
  int64_t rows = 1;
  int64_t in = 1;
};

std::string describe(const Situation& s) {
  std::string text(graph::FusedLinearOp(s.form).name());
  const LinearForm& form = s.form;
  text += form.norm.kind == NormKind::none ? "/plain" : form.norm.kind == NormKind::rms ? "/rms" : "/layer";
  for (size_t i = 0; i < form.parts.size(); ++i) {
    const LinearForm::Part& part = form.parts[i];
    text +=
        fmt::format("/{}{}{}", part.order == WeightOrder::in_out ? "in_out_" : "", to_string(s.weights[i]),
                    part.has_bias ? fmt::format("+{}", to_string(s.parameters)) : "");
  }
  if (form.add) text += s.row ? fmt::format("/row_{}", to_string(*s.row)) : "/rows";
  if (form.activation != Activation::none) text += fmt::format("/{}", to_string(form.activation));
  if (form.residual) text += "/residual";
  text += fmt::format("/{}x{}", s.rows, s.in);
  for (int64_t out : s.outs) text += fmt::format("x{}", out);
  return text;
}

Tolerance tolerance_of(const Situation& s) {
  double error = linear_error(s.in, s.form.norm.kind);
  // A normalised row is up to three times as large as a uniform one.
  const double x_scale = s.form.norm.kind == NormKind::none ? 1 : 3;
  double of_blocks = 0;
  for (DType weight : s.weights)
    of_blocks = std::max(of_blocks, activation_error(weight, s.in, x_scale) * weight_scale(s.in));
  error += of_blocks;
  if (s.form.activation != Activation::none) error = 1.13 * error + 1.2e-6;  // the largest slope; see gelu.cc
  if (s.form.gated) error *= 2 * 6;  // a product of two such numbers, each below six deviations
  return {.absolute = error, .relative = 16 * kEpsilon};
}

double per_rounding_of(const Situation& s) {
  double error = linear_rounding_error(s.in, s.form.norm.kind);
  if (s.form.activation != Activation::none) error *= 1.13;  // as above
  if (s.form.gated) error *= 2 * 6;
  return error;
}

OpCase situation(const Situation& s) {
  return {
      .name = describe(s),
      .dims = tokens(s.rows),
      .build =
          [=](CaseBuilder& b) {
            const LinearForm& form = s.form;
            std::vector<Value> inputs{b.f32({Symbol::tokens, s.in})};
            for (int i = 0; i < form.norm.inputs(); ++i) inputs.push_back(b.weight(s.parameters, {s.in}));
            for (size_t i = 0; i < form.parts.size(); ++i) {
              const bool out_in = form.parts[i].order == WeightOrder::out_in;
              const Shape shape = out_in ? Shape{s.outs[i], s.in} : Shape{s.in, s.outs[i]};
              inputs.push_back(b.weight(s.weights[i], shape, weight_scale(s.in)));
              if (form.parts[i].has_bias) inputs.push_back(b.weight(s.parameters, {s.outs[i]}));
            }
            if (form.add)
              inputs.push_back(s.row ? b.weight(*s.row, {s.outs[0]}) : b.f32({Symbol::tokens, s.outs[0]}));
            if (form.residual) inputs.push_back(b.f32({Symbol::tokens, s.outs[0]}));
            return b.graph().append(std::make_shared<graph::FusedLinearOp>(form), std::move(inputs));
          },
      .tolerance = tolerance_of(s),
      .per_rounding = per_rounding_of(s),
      .rows_are_independent = true};
}

/// A form with every block format, of all parts or of one among others, with single values too.
void sweep_blocks(std::vector<OpCase>& cases, const LinearForm& base, std::optional<DType> row) {
  const NormPrologue norms[] = {base.norm, kRms, kLayer};
  const int64_t rows[] = {1, 2, 3, 5, 17, 8};
  constexpr size_t kCount = std::size(kBlockTypes);
  for (size_t turn = 0; turn < 2 * kCount; ++turn) {
    const bool is_mixed = turn >= kCount;
    if (is_mixed && base.parts.size() == 1) break;
    // 3 blocks of 256 values or 7 of 32: rows that are no multiple of what kernels take at a time.
    const DType dtype = kBlockTypes[turn % kCount];
    const bool is_long = is_mixed || block_of(dtype).elements == 256;
    Situation s{.form = base,
                .weights = {},
                .outs = {},
                .parameters = kWeightTypes[turn % 3],
                .row = row,
                .rows = rows[turn % 6],
                .in = is_long ? 768 : 224};
    s.form.norm = norms[turn % 3];
    for (size_t i = 0; i < s.form.parts.size(); ++i) {
      s.form.parts[i].has_bias = turn % 2 != 0;
      DType of_part = dtype;
      if (is_mixed && i > 0) of_part = i % 2 == 0 ? DType::bf16 : kBlockTypes[(turn + 3 * i) % kCount];
      s.weights.push_back(of_part);
      const auto out = static_cast<int64_t>(turn * 5 + 3);
      s.outs.push_back(base.gated ? out : out + static_cast<int64_t>(i) * 7);
    }
    cases.push_back(situation(s));
  }
}

/// A form in every combination that kernels may treat apart; `all_widths` also over awkward widths.
void sweep(std::vector<OpCase>& cases, const LinearForm& base, std::optional<DType> row, bool all_widths) {
  int turn = 0;
  // Everything but the rows and the widths takes its turn: types of each part, of the biases and of the row.
  const auto add = [&](NormPrologue norm, WeightOrder order, int64_t rows, int64_t in, int64_t out) {
    Situation s{.form = base, .weights = {}, .outs = {}, .row = row, .rows = rows, .in = in};
    s.form.norm = norm;
    s.parameters = kWeightTypes[(turn / 2) % 3];
    if (row) s.row = kWeightTypes[(turn + 1) % 3];
    for (size_t i = 0; i < s.form.parts.size(); ++i) {
      s.form.parts[i].order = order;
      s.form.parts[i].has_bias = turn % 2 != 0;
      // Two turns of one type, then one of a type for each part.
      const size_t of_part = turn % 3 == 2 ? i : 0;
      s.weights.push_back(kWeightTypes[(static_cast<size_t>(turn) + of_part) % 3]);
      // Parts of a group differ in width, gate and up do not.
      s.outs.push_back(base.gated ? out : out + static_cast<int64_t>(i) * 7);
    }
    ++turn;
    cases.push_back(situation(s));
  };
  const NormPrologue norms[] = {base.norm, kRms, kLayer};
  for (WeightOrder order : kOrders) {
    for (int i = 0; i < 6; ++i) add(norms[i % 3], order, 2, 37, 18 + i);
    for (int64_t rows : {0, 1, 2, 3, 5, 17, 33}) add(norms[turn % 3], order, rows, 67, 41);
    // Multiples of eight, as models have: what tensor cores take. Rows around their tiles.
    const int64_t eights[] = {8, 40, 520, 24, 264};
    for (int64_t rows : {1, 4, 5, 8, 9, 16, 17, 33, 65})
      add(norms[turn / 3 % 3], order, rows, eights[turn % 5], rows % 2 == 0 ? 24 : 137);
    for (int64_t rows : {31, 129, 257})
      add(norms[turn / 3 % 3], order, rows, eights[turn % 5], rows == 129 ? 264 : 100);
    if (!all_widths) continue;
    for (int64_t in : {0, 1, 2, 7, 16, 33, 127, 257}) add(norms[turn % 3], order, 3, in, 19);
    for (int64_t out : {0, 1, 3, 4, 5, 15, 17, 33, 65, 131, 257}) add(norms[turn % 3], order, 3, 35, out);
    add(norms[turn % 3], order, 7, 300, 600);  // several chunks
  }
  sweep_blocks(cases, base, row);
}

OpCase speed(LinearForm form, DType dtype, int64_t rows, int64_t in, std::vector<int64_t> outs) {
  Situation s{.form = std::move(form),
              .weights = {},
              .outs = std::move(outs),
              .parameters = is_block_dtype(dtype) ? DType::f32 : dtype,
              .rows = rows,
              .in = in};
  s.weights.assign(s.form.parts.size(), dtype);
  if (s.form.add) s.row = s.parameters;
  OpCase op_case = situation(s);
  op_case.is_speed_case = true;
  return op_case;
}

struct Size {
  int64_t rows, in, out;
};

/// What layers have of some 10 to 64 rows: bf16 without biases.
void some_rows(std::vector<OpCase>& cases, const LinearForm& form, std::initializer_list<Size> sizes) {
  for (const Size& size : sizes)
    cases.push_back(situation({.form = form,
                               .weights = std::vector(form.parts.size(), DType::bf16),
                               .outs = std::vector(form.parts.size(), size.out),
                               .rows = size.rows,
                               .in = size.in}));
}

/// One linear with each of these activations, and with b as a row and as rows.
std::vector<OpCase> one_part(const std::vector<Activation>& activations, bool adds) {
  std::vector<OpCase> cases;
  bool is_first = true;
  for (Activation activation : activations) {
    LinearForm form;
    form.activation = activation;
    if (!adds) {
      sweep(cases, form, std::nullopt, std::exchange(is_first, false));
      continue;
    }
    form.add = true;
    sweep(cases, form, DType::f32, std::exchange(is_first, false));
    sweep(cases, form, std::nullopt, false);
    form.residual = true;
    sweep(cases, form, DType::f32, false);
    form.add = false;
    sweep(cases, form, std::nullopt, false);
  }
  return cases;
}

/// The layer of GPT-2 (hidden 768) that is a norm, a linear and gelu; f32 as published.
LinearForm gpt2_up() {
  LinearForm form{.norm = kLayer, .activation = Activation::gelu_tanh};
  form.parts[0] = {.order = WeightOrder::in_out, .has_bias = true};
  return form;
}

std::vector<Value> bad_inputs(Graph& g, const std::vector<TensorType>& types) {
  std::vector<Value> inputs;
  inputs.reserve(types.size());
  for (const TensorType& type : types) inputs.push_back(input(g, type.dtype, type.dims));
  return inputs;
}

BadCase bad(std::string name, const LinearForm& form, const std::vector<TensorType>& types,
            std::string message) {
  return {std::move(name),
          [=](Graph& g) {
            const auto op = std::make_shared<graph::FusedLinearOp>(form);
            g.append(op, bad_inputs(g, types));
          },
          std::move(message)};
}

const TensorType kX{DType::f32, {Symbol::tokens, 4}};
const TensorType kWeight{DType::bf16, {6, 4}};
const TensorType kRows{DType::f32, {Symbol::tokens, 6}};

/// What every op of one part refuses: the parts' own rules hold.
std::vector<BadCase> one_part_bad(LinearForm form) {
  const auto with = [&](const TensorType& x, const TensorType& weight) {
    std::vector<TensorType> types{x, weight};
    if (form.add) types.push_back(kRows);
    return types;
  };
  const std::string name(graph::FusedLinearOp(form).name());
  LinearForm normed = form;
  normed.norm = kRms;
  std::vector<TensorType> narrow = with(kX, kWeight);
  narrow.insert(narrow.begin() + 1, {DType::f32, {5}});
  std::vector<BadCase> cases{
      bad("x_of_rank_3", form, with({DType::f32, {Symbol::tokens, 2, 2}}, kWeight),
          "linear: expected x of rank 2, found f32[T, 2, 2]"),
      bad("weight_of_another_input_width", form, with(kX, {DType::f32, {6, 5}}),
          "linear: expected the weight's input width to be 4, found 5"),
      bad("weight_of_integers", form, with(kX, {DType::i8, {6, 4}}),
          "linear: expected the weight of a type for weights, found i8[6, 4]"),
      bad("norm_of_another_width", normed, narrow, "rms_norm: expected the weight to be 4, found 5"),
      bad("no_weight", form, {kX}, fmt::format("{}: expected {} inputs, found 1", name, form.add ? 3 : 2)),
  };
  LinearForm residual = form;
  residual.residual = true;
  const std::string residual_name(graph::FusedLinearOp(residual).name());
  std::vector<TensorType> other_rows = with(kX, kWeight);
  other_rows.push_back({DType::f32, {Symbol::sequences, 6}});
  cases.push_back(bad("residual_of_other_rows", residual, other_rows,
                      residual_name + ": expected a residual of type f32[T, 6], found f32[S, 6]"));
  std::vector<TensorType> row = with(kX, kWeight);
  row.push_back({DType::f32, {6}});
  cases.push_back(bad("residual_that_is_a_row", residual, row,
                      residual_name + ": expected a residual of type f32[T, 6], found f32[6]"));
  if (form.add) {
    cases.push_back(bad("b_of_another_width", form, {kX, kWeight, {DType::f16, {5}}},
                        "add: expected b's trailing dimension to be 6, found 5"));
    cases.push_back(bad("b_of_integers", form, {kX, kWeight, {DType::i32, {6}}},
                        "add: expected b of type f32, f16 or bf16, found i32[6]"));
  }
  return cases;
}

BadCase bad_form(std::string name, const LinearForm& form) {
  return {std::move(name), [=](Graph&) { static_cast<void>(graph::FusedLinearOp(form)); },
          fmt::format("linear: expected one part with an epilogue, two gated ones or a group of at most 8 "
                      "without one, found {} parts",
                      form.parts.size())};
}

}  // namespace

std::vector<OpCase> linear_norm_cases() {
  std::vector<OpCase> cases;
  sweep(cases, {.norm = kRms}, std::nullopt, true);
  cases.push_back(speed({.norm = kRms}, DType::bf16, 1, 384, {8192}));  // the storyteller's head
  cases.push_back(speed({.norm = kRms}, DType::bf16, 128, 576, {1536}));
  // Rows as long as those of models of 8B, and longer.
  for (DType dtype : {DType::bf16, DType::q4_k}) {
    cases.push_back(speed({.norm = kRms}, dtype, 1, 4096, {256}));
    cases.push_back(speed({.norm = kRms}, dtype, 1, 5120, {256}));
  }
  return cases;
}
std::vector<BadCase> linear_norm_bad_cases() {
  return one_part_bad({});
}

std::vector<OpCase> linear_add_cases() {
  std::vector<OpCase> cases = one_part({Activation::none}, true);
  const LinearForm residual{.residual = true};
  some_rows(cases, residual, {{9, 2080, 520}, {17, 4160, 40}, {48, 544, 136}, {64, 1056, 264}});
  cases.push_back(speed(residual, DType::bf16, 1, 3072, {1024}));  // Qwen3-0.6B's way back from the ffn
  for (DType dtype : {DType::bf16, DType::q8_0, DType::q4_k, DType::q6_k}) {
    cases.push_back(speed(residual, dtype, 1, 8192, {2048}));  // Llama 3.2 1B's
  }
  cases.push_back(speed(residual, DType::bf16, 1, 960, {384}));     // the storyteller's
  cases.push_back(speed(residual, DType::bf16, 128, 1536, {576}));  // SmolLM-135M's
  return cases;
}
std::vector<BadCase> linear_add_bad_cases() {
  std::vector<BadCase> cases = one_part_bad({.add = true});
  cases.push_back(bad_form("no_parts", {.parts = {}, .add = true}));
  return cases;
}

std::vector<OpCase> linear_gelu_cases() {
  std::vector<OpCase> cases = one_part({Activation::gelu_erf, Activation::gelu_tanh}, false);
  cases.push_back(speed(gpt2_up(), DType::f32, 1, 768, {3072}));
  cases.push_back(speed(gpt2_up(), DType::f32, 128, 768, {3072}));
  return cases;
}
std::vector<BadCase> linear_gelu_bad_cases() {
  std::vector<BadCase> cases = one_part_bad({.activation = Activation::gelu_erf});
  cases.push_back(bad_form("two_parts", {.parts = {{}, {}}, .activation = Activation::gelu_erf}));
  return cases;
}

std::vector<OpCase> linear_add_gelu_cases() {
  std::vector<OpCase> cases = one_part({Activation::gelu_erf, Activation::gelu_tanh}, true);
  LinearForm form = gpt2_up();
  form.parts[0].has_bias = false;
  form.add = true;
  cases.push_back(speed(form, DType::f32, 1, 768, {3072}));
  cases.push_back(speed(form, DType::f32, 128, 768, {3072}));
  return cases;
}
std::vector<BadCase> linear_add_gelu_bad_cases() {
  return one_part_bad({.add = true, .activation = Activation::gelu_tanh});
}

std::vector<OpCase> linear_silu_cases() {
  std::vector<OpCase> cases = one_part({Activation::silu}, false);
  const LinearForm form{.norm = kRms, .activation = Activation::silu};
  cases.push_back(speed(form, DType::bf16, 1, 1024, {3072}));
  cases.push_back(speed(form, DType::bf16, 128, 576, {1536}));
  return cases;
}
std::vector<BadCase> linear_silu_bad_cases() {
  return one_part_bad({.activation = Activation::silu});
}

std::vector<OpCase> linear_add_silu_cases() {
  std::vector<OpCase> cases = one_part({Activation::silu}, true);
  const LinearForm form{.norm = kRms, .add = true, .activation = Activation::silu};
  cases.push_back(speed(form, DType::bf16, 1, 1024, {3072}));
  cases.push_back(speed(form, DType::bf16, 128, 576, {1536}));
  return cases;
}
std::vector<BadCase> linear_add_silu_bad_cases() {
  return one_part_bad({.add = true, .activation = Activation::silu});
}

std::vector<OpCase> linear_group_cases() {
  std::vector<OpCase> cases;
  sweep(cases, {.parts = {{}, {}, {}}}, std::nullopt, true);
  sweep(cases, {.parts = {{}, {}}}, std::nullopt, false);
  sweep(cases, {.parts = std::vector<LinearForm::Part>(5)}, std::nullopt, false);
  // Parts that differ in everything a part may.
  Situation mixed{.form = {.norm = kRms,
                           .parts = {{.order = WeightOrder::in_out, .has_bias = true},
                                     {.order = WeightOrder::out_in, .has_bias = false},
                                     {.order = WeightOrder::out_in, .has_bias = true},
                                     {.order = WeightOrder::in_out, .has_bias = false}}},
                  .weights = {DType::f16, DType::bf16, DType::f32, DType::bf16},
                  .outs = {33, 0, 130, 1},
                  .rows = 5,
                  .in = 129};
  cases.push_back(situation(mixed));
  const LinearForm qkv{.norm = kRms, .parts = {{}, {}, {}}};
  cases.push_back(speed(qkv, DType::bf16, 1, 1024, {2048, 1024, 1024}));  // Qwen3-0.6B
  cases.push_back(speed(qkv, DType::bf16, 1, 384, {384, 128, 128}));      // the storyteller
  cases.push_back(speed(qkv, DType::bf16, 128, 576, {576, 192, 192}));    // SmolLM-135M
  return cases;
}
std::vector<BadCase> linear_group_bad_cases() {
  const LinearForm two{.parts = {{}, {}}};
  return {
      bad("second_weight_of_another_input_width", two, {kX, kWeight, {DType::f32, {6, 3}}},
          "linear: expected the weight's input width to be 4, found 3"),
      bad("one_weight", two, {kX, kWeight}, "linear_group: expected 3 inputs, found 2"),
      bad_form("add", {.parts = {{}, {}}, .add = true}),
      bad_form("activation", {.parts = {{}, {}, {}}, .activation = Activation::silu}),
      bad_form("residual", {.parts = {{}, {}}, .residual = true}),
  };
}

std::vector<OpCase> linear_glu_cases() {
  std::vector<OpCase> cases;
  LinearForm form{.parts = {{}, {}}, .gated = true};
  bool is_first = true;
  for (Activation activation :
       {Activation::silu, Activation::gelu_erf, Activation::gelu_tanh, Activation::none}) {
    form.activation = activation;
    sweep(cases, form, std::nullopt, std::exchange(is_first, false));
  }
  form.residual = true;
  form.activation = Activation::silu;
  sweep(cases, form, std::nullopt, false);
  const LinearForm swiglu{.norm = kRms, .parts = {{}, {}}, .activation = Activation::silu, .gated = true};
  cases.push_back(speed(swiglu, DType::bf16, 1, 1024, {3072, 3072}));  // Qwen3-0.6B
  // Outputs for more than 64 on each of an H200's multiprocessors, of whole and of odd steps.
  some_rows(cases, swiglu, {{9, 544, 8464}, {17, 96, 8712}, {48, 64, 8712}, {64, 64, 8456}});
  for (DType dtype : {DType::q8_0, DType::q4_k, DType::q6_k}) {
    cases.push_back(speed(swiglu, dtype, 1, 2048, {8192, 8192}));  // Llama 3.2 1B
  }
  cases.push_back(speed(swiglu, DType::bf16, 1, 384, {960, 960}));      // the storyteller
  cases.push_back(speed(swiglu, DType::bf16, 128, 576, {1536, 1536}));  // SmolLM-135M
  return cases;
}
std::vector<BadCase> linear_glu_bad_cases() {
  const LinearForm glu{.parts = {{}, {}}, .activation = Activation::silu, .gated = true};
  return {
      bad("gate_and_up_of_other_widths", glu, {kX, kWeight, {DType::bf16, {7, 4}}},
          "mul: expected b's trailing dimension to be 6, found 7"),
      bad("one_weight", glu, {kX, kWeight}, "linear_glu: expected 3 inputs, found 2"),
      bad_form("one_part", {.gated = true}),
      bad_form("three_parts", {.parts = {{}, {}, {}}, .gated = true}),
      bad_form("add", {.parts = {{}, {}}, .add = true, .gated = true}),
  };
}

}  // namespace ingot::opcases
