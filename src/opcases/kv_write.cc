#include "graph/ops/kv_write.h"

#include "opcases/step.h"

namespace ingot::opcases {
namespace {

OpCase situation(std::string_view name, const std::vector<StepPart>& parts, int64_t page_tokens,
                 int64_t heads, int64_t head_dim, int64_t padding = 0) {
  const PagedStep step(parts, page_tokens, padding);
  return {.name = fmt::format("kv_write/{}/{}x{}", name, heads, head_dim),
          .dims = step.dims,
          .build =
              [=](CaseBuilder& b) {
                const Value cache = b.state({Symbol::cache_pages, heads, page_tokens, head_dim});
                const Value x = b.f32({Symbol::tokens, heads, head_dim});
                return graph::kv_write(b.graph(), cache, x, b.i32({Symbol::tokens}, step.slots));
              },
          .tolerance = {}};
}

}  // namespace

std::vector<OpCase> kv_write_cases() {
  std::vector<OpCase> cases{
      situation("one", {{1, 1}}, 32, 2, 16),
      situation("two", {{3, 3}, {1, 40}}, 32, 2, 16),
      situation("seventeen", seventeen(32), 32, 3, 5),
      situation("across_pages", {{70, 75}}, 32, 1, 7),
      situation("short_pages", {{11, 17}, {2, 2}}, 3, 2, 1),
      situation("padded", {{2, 9}, {1, 33}}, 32, 2, 8, 5),
      situation("nothing", {}, 32, 2, 8),
  };
  OpCase speed = situation("speed", {{512, 1024}}, 32, 8, 128);
  speed.is_speed_case = true;
  cases.push_back(std::move(speed));
  return cases;
}

std::vector<BadCase> kv_write_bad_cases() {
  const auto with = [](const TensorType& cache, const TensorType& x, const TensorType& slots) {
    return [=](Graph& g) {
      const Value state = g.state("cache", cache);
      const Value rows = g.input("x", x);
      graph::kv_write(g, state, rows, g.input("slots", slots));
    };
  };
  const TensorType cache{DType::f32, {Symbol::cache_pages, 2, 32, 8}};
  const TensorType x{DType::f32, {Symbol::tokens, 2, 8}};
  const TensorType slots{DType::i32, {Symbol::tokens}};
  return {
      {"cache_of_rank_3", with({DType::f32, {2, 32, 8}}, x, slots),
       "kv_write: expected the cache of rank 4, found f32[2, 32, 8]"},
      {"cache_of_f16", with({DType::f16, {Symbol::cache_pages, 2, 32, 8}}, x, slots),
       "kv_write: expected the cache of type f32, found f16[C, 2, 32, 8]"},
      {"x_of_rank_2", with(cache, {DType::f32, {Symbol::tokens, 16}}, slots),
       "kv_write: expected x of rank 3, found f32[T, 16]"},
      {"x_of_f16", with(cache, {DType::f16, {Symbol::tokens, 2, 8}}, slots),
       "kv_write: expected x of type f32, found f16[T, 2, 8]"},
      {"other_heads", with(cache, {DType::f32, {Symbol::tokens, 3, 8}}, slots),
       "kv_write: expected x's heads to be 2, found 3"},
      {"other_head_dim", with(cache, {DType::f32, {Symbol::tokens, 2, 9}}, slots),
       "kv_write: expected x's head_dim to be 8, found 9"},
      {"slots_of_floats", with(cache, x, {DType::f32, {Symbol::tokens}}),
       "kv_write: expected slots of type i32, found f32[T]"},
      {"slots_of_rank_2", with(cache, x, {DType::i32, {Symbol::tokens, 1}}),
       "kv_write: expected slots of rank 1, found i32[T, 1]"},
      {"slots_of_sequences", with(cache, x, {DType::i32, {Symbol::sequences}}),
       "kv_write: expected the number of slots to be T, found S"},
  };
}

}  // namespace ingot::opcases
