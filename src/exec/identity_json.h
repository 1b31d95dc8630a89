// What a file of measurements holds for, as JSON.
#pragma once

#include "exec/calibrate.h"
#include "exec/json_object.h"

namespace ingot::exec {

inline nlohmann::json identity_json(const CalibrationIdentity& identity) {
  return {{"device", identity.device},
          {"description", identity.description},
          {"threads", identity.threads},
          {"instruction_set", identity.instruction_set},
          {"build", identity.build}};
}

/// Errors: invalid_file.
inline CalibrationIdentity read_identity(const JsonObject& reader) {
  return {.device = reader.text("device"),
          .description = reader.text("description"),
          .threads = reader.integer("threads", 1, int64_t{1} << 20),
          .instruction_set = reader.text("instruction_set"),
          .build = reader.text("build")};
}

}  // namespace ingot::exec
