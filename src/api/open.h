// A checkpoint with its graphs and devices, before anything is set aside for running it.
#pragma once

#include <memory>
#include <string>

#include "api/devices.h"
#include "format/checkpoint.h"
#include "ingot/llm.h"
#include "model/model.h"

namespace ingot::api {

struct Opened {
  Devices devices;
  std::shared_ptr<format::Checkpoint> checkpoint;  // tensors that are copied have no values yet
  std::shared_ptr<const model::Model> model;
  int64_t context = 0;  // as asked for, or the default
};

/// Reads configs and headers, no weight. Errors: those of LLM::load().
Opened open(const std::string& path, const LoadOptions& options);

}  // namespace ingot::api
