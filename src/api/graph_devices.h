// The devices of a program: those of CompileOptions that are here, and why the others are not.
//
// Owns the backends; the devices point to them. Used by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "exec/device.h"
#include "ingot/compile_options.h"

namespace ingot::api {

struct Devices {
  std::vector<std::unique_ptr<backend::Backend>> backends;
  std::vector<exec::Device> present;      // in the order asked for
  std::vector<exec::PassedOver> missing;  // known to Ingot, but not in this build or not on this machine
};

/// Errors: invalid_argument for no device, one asked for twice, a name that Ingot does not know, or a number
/// of threads out of its range; unsupported where none is here.
Devices find_devices(const CompileOptions& options);

}  // namespace ingot::api
