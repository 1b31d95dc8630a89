#include "format/gguf_rows.h"

#include <cstring>
#include <utility>

#include "base/check.h"

namespace ingot::format {

void reorder_head(std::span<const std::byte> from, std::byte* to, int64_t rows, RowOrder order) {
  INGOT_CHECK(order != RowOrder::kept, "a copy would do");
  INGOT_CHECK(rows > 0 && rows % 2 == 0 && from.size() % static_cast<size_t>(rows) == 0,
              "{} bytes of {} rows", from.size(), rows);
  const size_t row_bytes = from.size() / static_cast<size_t>(rows);
  const auto pairs = static_cast<size_t>(rows) / 2;
  for (size_t pair = 0; pair < pairs; ++pair) {
    for (size_t side = 0; side < 2; ++side) {
      size_t source = 2 * pair + side;
      size_t target = side * pairs + pair;
      if (order == RowOrder::to_neighbours) std::swap(source, target);
      std::memcpy(to + target * row_bytes, from.data() + source * row_bytes, row_bytes);
    }
  }
}

}  // namespace ingot::format
