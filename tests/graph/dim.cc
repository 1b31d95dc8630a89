#include "graph/dim.h"

#include <gtest/gtest.h>

#include "ingot/error.h"

namespace ingot::graph {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

TEST(Dim, StaticOnesAreNumbers) {
  const Dim seven = 7;
  EXPECT_TRUE(seven.is_static());
  EXPECT_EQ(seven.extent(), 7);
  EXPECT_EQ((seven + Dim(3)).extent(), 10);
  EXPECT_EQ((seven * Dim(3)).extent(), 21);
  EXPECT_EQ(seven.bind({}), 7);
  EXPECT_EQ(to_string(seven), "7");
}

TEST(Dim, SymbolicOnesBindToValues) {
  DimValues values;
  values[Symbol::tokens] = 5;
  values[Symbol::sequences] = 2;
  const Dim t = Symbol::tokens;
  EXPECT_FALSE(t.is_static());
  EXPECT_EQ(t.bind(values), 5);
  EXPECT_EQ((t + Dim(1)).bind(values), 6);
  EXPECT_EQ((t * Dim(3) + Dim(2)).bind(values), 17);
  EXPECT_EQ((Dim(3) * (t + Dim(1)) + t).bind(values), 23);
  EXPECT_EQ(Dim(Symbol::sequences).bind(values), 2);
}

TEST(Dim, EqualityIsOfTheFormNotOfValues) {
  const Dim t = Symbol::tokens;
  EXPECT_EQ(t + Dim(1), Dim(1) + t);
  EXPECT_EQ(t + t, t * Dim(2));
  EXPECT_NE(t, Dim(Symbol::sequences));
  EXPECT_NE(t, t + Dim(1));
  EXPECT_EQ(t * Dim(0), Dim(0));
  EXPECT_EQ(t + t * Dim(-1), Dim(0)) << "a symbol that cancels is gone";
}

TEST(Dim, PrintsAsPeopleWriteIt) {
  const Dim t = Symbol::tokens;
  EXPECT_EQ(to_string(t), "T");
  EXPECT_EQ(to_string(t * Dim(4)), "4T");
  EXPECT_EQ(to_string(t + Dim(1)), "T+1");
  EXPECT_EQ(to_string(t * Dim(2) + Dim(-1)), "2T-1");
  std::string letters;
  for (Symbol s : {Symbol::tokens, Symbol::sequences, Symbol::pages, Symbol::logit_rows, Symbol::cache_pages,
                   Symbol::slots}) {
    letters += to_string(Dim(s));
  }
  EXPECT_EQ(letters, "TSPRCN");
}

TEST(Dim, WhatIsNotOfTheFormIsRefused) {
  const Dim t = Symbol::tokens;
  const Dim s = Symbol::sequences;
  EXPECT_EQ(message_of([&] { static_cast<void>(t + s); }), "dimensions T and S cannot be added");
  EXPECT_EQ(message_of([&] { static_cast<void>(t * s); }), "dimensions T and S cannot be multiplied");
  EXPECT_EQ(message_of([&] { static_cast<void>(t * t); }), "dimensions T and T cannot be multiplied");
  EXPECT_EQ(message_of([&] { static_cast<void>(t.extent()); }), "expected a static dimension, found T");
}

TEST(TensorType, CountsAndBindsItsElements) {
  const TensorType type{DType::bf16, {Symbol::tokens, 3, 4}};
  DimValues values;
  values[Symbol::tokens] = 5;
  EXPECT_EQ(type.rank(), 3);
  EXPECT_EQ(type.dim(-1), Dim(4));
  EXPECT_EQ(type.dim(0), Dim(Symbol::tokens));
  EXPECT_EQ(type.elements(), Dim(Symbol::tokens) * Dim(12));
  EXPECT_EQ(type.bind(values), (Shape{5, 3, 4}));
  EXPECT_EQ(to_string(type), "bf16[T, 3, 4]");
  EXPECT_EQ(to_string(TensorType{DType::i32, {}}), "i32[]");
  EXPECT_EQ((TensorType{DType::f32, {}}).elements(), Dim(1));
}

TEST(TensorType, MoreDimensionsThanAShapeHasAreRefused) {
  const TensorType type{DType::f32, {1, 1, 1, 1, 1, 1}};
  EXPECT_EQ(message_of([&] { static_cast<void>(type.bind({})); }),
            "expected at most 5 dimensions, found f32[1, 1, 1, 1, 1, 1]");
}

}  // namespace
}  // namespace ingot::graph
