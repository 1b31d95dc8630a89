#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>

#include "base/check.h"

namespace ingot {

spdlog::logger& log() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made =
        std::make_shared<spdlog::logger>("ingot", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("ingot: %^%l%$: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *logger;
}

void set_log_level(std::string_view name) {
  const auto level = spdlog::level::from_str(std::string(name));
  // from_str answers `off` for every unknown name.
  if (level == spdlog::level::off && name != "off") {
    fail(ErrorCode::invalid_argument,
         "log level: expected trace, debug, info, warning, error or off, found '{}'", name);
  }
  log().set_level(level);
}

}  // namespace ingot
