// Device: a backend as a plan sees it, with its name and what it costs there.
#pragma once

#include <string>

#include "backend/backend.h"

namespace ingot::exec {

struct DeviceCosts;

/// Owns nothing: the backend and the costs outlive every compile() and Runner that is given the device.
struct Device {
  backend::Backend* backend = nullptr;
  std::string name;                    // as users write it; distinct among the devices of a plan
  const DeviceCosts* costs = nullptr;  // null: not calibrated
  std::string calibration_hash = {};   // of the calibration that has the costs; empty: none
};

/// A device that was asked for and is not there.
struct PassedOver {
  std::string device;
  std::string reason;
};

}  // namespace ingot::exec
