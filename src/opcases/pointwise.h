// What the cases of point-wise ops share.
#pragma once

#include "opcases/cases.h"

namespace ingot::opcases {

using Binary = Value (*)(Graph&, Value, Value, std::string);

/// add and mul: one rounding of one exact result, so every backend has the reference's bits.
inline std::vector<OpCase> binary_cases(std::string_view op, Binary append) {
  std::vector<OpCase> cases;
  for (int64_t width : kAwkwardWidths) {
    cases.push_back({.name = fmt::format("{}/same/17x{}", op, width),
                     .dims = tokens(17),
                     .build =
                         [=](CaseBuilder& b) {
                           const Value x = b.f32({Symbol::tokens, width});
                           return append(b.graph(), x, b.f32({Symbol::tokens, width}), "");
                         },
                     .tolerance = {},
                     .rows_are_independent = true});
    for (DType dtype : kWeightTypes) {
      cases.push_back({.name = fmt::format("{}/row/{}/5x{}", op, to_string(dtype), width),
                       .dims = tokens(5),
                       .build =
                           [=](CaseBuilder& b) {
                             const Value x = b.f32({Symbol::tokens, width});
                             return append(b.graph(), x, b.weight(dtype, {width}), "");
                           },
                       .tolerance = {},
                       .rows_are_independent = true});
    }
  }
  cases.push_back(
      {.name = fmt::format("{}/trailing/3x5x7", op), .dims = tokens(3), .build = [=](CaseBuilder& b) {
         const Value x = b.f32({Symbol::tokens, 5, 7});
         return append(b.graph(), x, b.weight(DType::f16, {5, 7}), "");
       }});
  cases.push_back({.name = fmt::format("{}/scalar/9", op), .dims = tokens(9), .build = [=](CaseBuilder& b) {
                     const Value x = b.f32({Symbol::tokens});
                     return append(b.graph(), x, b.weight(DType::f32, {}), "");
                   }});
  cases.push_back({.name = fmt::format("{}/no_rows", op), .dims = tokens(0), .build = [=](CaseBuilder& b) {
                     const Value x = b.f32({Symbol::tokens, 7});
                     return append(b.graph(), x, b.f32({Symbol::tokens, 7}), "");
                   }});
  for (DType dtype : kWeightTypes) {
    cases.push_back({.name = fmt::format("{}/every_pattern/{}", op, to_string(dtype)),
                     .dims = tokens(1),
                     .build =
                         [=](CaseBuilder& b) {
                           // b runs over magnitudes from subnormal to huge: 16-bit decoding at its ends.
                           const Value x = b.f32({Symbol::tokens, 64});
                           Array values = Array::empty(dtype, {64});
                           for (int64_t i = 0; i < 64; ++i) {
                             const auto bits = static_cast<uint16_t>(b.below(65536));
                             const bool finite = dtype != DType::f16 || (bits & 0x7c00) != 0x7c00;
                             const bool bf16_finite = dtype != DType::bf16 || (bits & 0x7f80) != 0x7f80;
                             const uint16_t kept =
                                 finite && bf16_finite ? bits : static_cast<uint16_t>(bits & 0x83ff);
                             if (dtype == DType::f32) {
                               values.mutable_data<float>()[i] = dtype::decode(dtype::Bf16{kept}) * 0.3F;
                             } else {
                               values.mutable_data<uint16_t>()[i] = kept;
                             }
                           }
                           return append(b.graph(), x, b.weight(std::move(values)), "");
                         },
                     .tolerance = {}});
  }
  cases.push_back({.name = fmt::format("{}/speed/512x4096", op),
                   .dims = tokens(512),
                   .build =
                       [=](CaseBuilder& b) {
                         const Value x = b.f32({Symbol::tokens, 4096});
                         return append(b.graph(), x, b.f32({Symbol::tokens, 4096}), "");
                       },
                   .tolerance = {},
                   .is_speed_case = true});
  return cases;
}

inline std::vector<BadCase> binary_bad_cases(std::string_view op, Binary append) {
  return {
      {"a_is_not_f32", [=](Graph& g) { append(g, input(g, DType::f16, {7}), input(g, DType::f32, {7}), ""); },
       fmt::format("{}: expected a of type f32, found f16[7]", op)},
      {"b_is_not_a_weight_type",
       [=](Graph& g) { append(g, input(g, DType::f32, {7}), input(g, DType::i32, {7}), ""); },
       fmt::format("{}: expected b of type f32, f16 or bf16, found i32[7]", op)},
      {"b_has_the_higher_rank",
       [=](Graph& g) {
         append(g, input(g, DType::f32, {7}), input(g, DType::f32, {1, 7}), "");
       },
       fmt::format("{}: expected b of rank <= 1, found f32[1, 7]", op)},
      {"widths_differ",
       [=](Graph& g) {
         append(g, input(g, DType::f32, {Symbol::tokens, 7}), input(g, DType::f32, {8}), "");
       },
       fmt::format("{}: expected b's trailing dimension to be 7, found 8", op)},
      {"symbols_differ",
       [=](Graph& g) {
         append(g, input(g, DType::f32, {Symbol::tokens, 7}), input(g, DType::f32, {Symbol::sequences, 7}),
                "");
       },
       fmt::format("{}: expected b's trailing dimension to be T, found S", op)},
  };
}

using Unary = std::function<Value(Graph&, Value)>;

/// gelu and silu: over widths, and over magnitudes where an exponential overflows or vanishes.
inline std::vector<OpCase> unary_cases(const std::string& op, const Unary& append, Tolerance tolerance) {
  std::vector<OpCase> cases;
  for (int64_t width : kAwkwardWidths) {
    cases.push_back({.name = fmt::format("{}/17x{}", op, width),
                     .dims = tokens(17),
                     .build =
                         [=](CaseBuilder& b) {
                           return append(b.graph(), b.f32({Symbol::tokens, width}, 8));
                         },
                     .tolerance = tolerance,
                     .rows_are_independent = true});
  }
  cases.push_back({.name = op + "/no_rows", .dims = tokens(0), .build = [=](CaseBuilder& b) {
                     return append(b.graph(), b.f32({Symbol::tokens, 5}));
                   }});
  cases.push_back({.name = op + "/magnitudes",
                   .dims = tokens(1),
                   .build =
                       [=](CaseBuilder& b) {
                         std::vector<float> values{0.0F, -0.0F};
                         float x = 1e-20F;
                         while (x < 1e30F) {
                           values.push_back(x);
                           values.push_back(-x);
                           x *= 1.5F;
                         }
                         for (int i = 0; i < 800; ++i) values.push_back(static_cast<float>(i) * -0.37F);
                         const auto width = static_cast<int64_t>(values.size());
                         return append(b.graph(), b.f32({Symbol::tokens, width}, std::move(values)));
                       },
                   .tolerance = tolerance});
  cases.push_back({.name = op + "/speed/512x4096",
                   .dims = tokens(512),
                   .build =
                       [=](CaseBuilder& b) {
                         return append(b.graph(), b.f32({Symbol::tokens, 4096}, 8));
                       },
                   .tolerance = tolerance,
                   .is_speed_case = true});
  return cases;
}

inline std::vector<BadCase> unary_bad_cases(std::string_view op, const Unary& append) {
  return {{"x_is_not_f32",
           [=](Graph& g) {
             append(g, input(g, DType::i32, {Symbol::tokens, 7}));
           },
           fmt::format("{}: expected x of type f32, found i32[T, 7]", op)}};
}

}  // namespace ingot::opcases
