#include "api/stop_strings.h"

#include <algorithm>
#include <utility>

namespace ingot::api {

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    found_ = true;
    held_.resize(first);
    return finish();
  }
  // Keep the longest end of the text that begins a stop string.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, length))) keep = length;
    }
  }
  // A character is not cut in two.
  size_t end = held_.size() - keep;
  while (end > 0 && end < held_.size() && (static_cast<unsigned char>(held_[end]) & 0xC0U) == 0x80U) --end;
  std::string out = held_.substr(0, end);
  held_.erase(0, end);
  return out;
}

std::string StopStrings::finish() {
  return std::exchange(held_, {});
}

}  // namespace ingot::api
