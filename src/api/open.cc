#include "api/open.h"

#include <algorithm>

#include "api/options.h"
#include "base/check.h"

namespace ingot::api {
namespace {

int64_t choose_context(int64_t asked, int64_t most) {
  if (asked == 0) return std::min(most, kDefaultContext);
  if (asked < 2 || asked > most) {
    fail(ErrorCode::invalid_argument, "context: expected 2 to {} tokens (the model's own limit), found {}",
         most, asked);
  }
  return asked;
}

}  // namespace

Opened open(const std::string& path, const LoadOptions& options) {
  check(options);
  Opened opened;
  opened.devices = make_devices(options.compile);
  opened.checkpoint = format::Checkpoint::open(path, format::Copies::later);
  opened.model = std::make_shared<const model::Model>(opened.checkpoint);
  check_layers(options.compile, opened.model->dimensions().layers);
  opened.context = choose_context(options.context, opened.model->dimensions().max_positions);
  return opened;
}

}  // namespace ingot::api
