// StopStrings: ends streamed text before the first of several strings, holding back what may become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ingot::api {

class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// The text that is final after `piece`; empty once a stop string was found.
  std::string push(std::string_view piece);
  /// The text held back, when no more comes.
  std::string finish();
  bool found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace ingot::api
