#include "exec/route_rules.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "backend/registry.h"
#include "base/check.h"
#include "exec/route.h"
#include "graph/op_table.h"

namespace ingot::exec {
namespace {

void check_device(std::string_view option, const std::string& name, std::span<const std::string> known) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  fail(ErrorCode::invalid_argument, "{}: expected a device, one of {}, found '{}'", option,
       fmt::join(known, ", "), name);
}

void check_devices(std::span<const Device> devices) {
  if (devices.empty() || devices.size() > kMostDevices) {
    fail(ErrorCode::invalid_argument, "devices: expected 1 to {}, found {}", kMostDevices, devices.size());
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    for (const Device& other : devices.first(i)) {
      if (other.name != devices[i].name) continue;
      fail(ErrorCode::invalid_argument, "devices: expected distinct names, found '{}' twice", other.name);
    }
  }
}

void check_layers(const CompileOptions& options, std::span<const std::string> known) {
  for (size_t i = 0; i < options.layers.size(); ++i) {
    const LayerRange& range = options.layers[i];
    check_device("layers", range.device, known);
    if (range.first < 0 || range.last < range.first) {
      fail(ErrorCode::invalid_argument, "layers: expected a range from 0 on, found {}-{}", range.first,
           range.last);
    }
    for (size_t k = 0; k < i; ++k) {
      const LayerRange& other = options.layers[k];
      if (other.last < range.first || range.last < other.first) continue;
      fail(ErrorCode::invalid_argument, "layers: expected ranges that do not overlap, found {}-{} and {}-{}",
           other.first, other.last, range.first, range.last);
    }
  }
}

std::optional<int> find_device(std::span<const Device> devices, const std::string& name) {
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].name == name) return static_cast<int>(i);
  }
  return std::nullopt;
}

}  // namespace

void check_rules(const CompileOptions& options, std::span<const Device> devices,
                 std::span<const PassedOver> missing) {
  check_devices(devices);
  std::vector<std::string> known;
  const auto know = [&](const std::string& name) {
    if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  };
  for (const Device& device : devices) know(device.name);
  for (const PassedOver& device : missing) know(device.device);
  for (const std::string& name : backend::backend_names()) know(name);
  for (const auto& [op, elements] : options.route) {
    if (graph::find_op(op) == nullptr) {
      std::vector<std::string_view> names;
      for (const graph::OpEntry& entry : graph::op_table()) names.push_back(entry.name);
      fail(ErrorCode::invalid_argument, "route: expected an op, one of {}, found '{}'",
           fmt::join(names, ", "), op);
    }
    if (elements < 0) {
      fail(ErrorCode::invalid_argument, "route: {}: expected a threshold of at least 0 elements, found {}",
           op, elements);
    }
  }
  check_layers(options, known);
  for (const auto& [device, bytes] : options.memory) {
    check_device("memory", device, known);
    if (bytes < 0) {
      fail(ErrorCode::invalid_argument, "memory: {}: expected at least 0 bytes, found {}", device, bytes);
    }
  }
}

std::optional<Wish> wish_for(const CompileOptions& options, std::span<const Device> devices,
                             const graph::Node& node, int64_t elements) {
  for (const LayerRange& range : options.layers) {
    if (node.layer < range.first || node.layer > range.last) continue;
    const auto device = find_device(devices, range.device);
    if (!device) break;
    return Wish{.device = *device, .reason = fmt::format("layers {}-{} by hand", range.first, range.last)};
  }
  const auto threshold = options.route.find(node.op->name());
  if (threshold == options.route.end()) return std::nullopt;
  const bool is_large = elements >= threshold->second;
  return Wish{.device = is_large ? 0 : static_cast<int>(devices.size()) - 1,
              .reason = fmt::format("threshold {}: {} elements", threshold->second, elements)};
}

}  // namespace ingot::exec
