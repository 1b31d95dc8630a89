#include "api/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "api/devices.h"
#include "base/check.h"
#include "graph/op_table.h"

namespace ingot::api {
namespace {

void check_devices(const std::vector<std::string>& devices) {
  if (devices.empty()) fail(ErrorCode::invalid_argument, "device: expected at least one, found none");
  const auto known = known_devices();
  for (size_t i = 0; i < devices.size(); ++i) {
    if (std::find(known.begin(), known.end(), devices[i]) == known.end()) {
      fail(ErrorCode::invalid_argument, "device: expected one of {}, found '{}'", fmt::join(known, ", "),
           devices[i]);
    }
    if (std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) !=
        devices.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail(ErrorCode::invalid_argument, "device: expected each device once, found '{}' twice", devices[i]);
    }
  }
}

void check_listed(std::string_view option, const std::string& device,
                  const std::vector<std::string>& devices) {
  if (std::find(devices.begin(), devices.end(), device) != devices.end()) return;
  fail(ErrorCode::invalid_argument, "{}: expected a device of the list that `device` gives ({}), found '{}'",
       option, fmt::join(devices, ", "), device);
}

void check_route(const CompileOptions& options) {
  for (const auto& [op, elements] : options.route) {
    if (graph::find_op(op) == nullptr) {
      std::vector<std::string_view> known;
      for (const graph::OpEntry& entry : graph::op_table()) known.push_back(entry.name);
      fail(ErrorCode::invalid_argument, "route: expected an op ({}), found '{}'", fmt::join(known, ", "), op);
    }
    if (elements < 0) {
      fail(ErrorCode::invalid_argument, "route: {}: expected 0 or more elements, found {}", op, elements);
    }
  }
}

void check_ranges(const CompileOptions& options) {
  std::vector<LayerRange> ranges = options.layers;
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const LayerRange& a, const LayerRange& b) { return a.first < b.first; });
  for (size_t i = 0; i < ranges.size(); ++i) {
    const LayerRange& range = ranges[i];
    if (range.first < 0 || range.last < range.first) {
      fail(ErrorCode::invalid_argument,
           "layers: expected a first layer from 0 and a last one from there, found {}-{}", range.first,
           range.last);
    }
    if (i > 0 && range.first <= ranges[i - 1].last) {
      fail(ErrorCode::invalid_argument, "layers: expected ranges that do not overlap, found {}-{} and {}-{}",
           ranges[i - 1].first, ranges[i - 1].last, range.first, range.last);
    }
    check_listed("layers", range.device, options.devices);
  }
}

void check_caps(const CompileOptions& options) {
  for (const auto& [device, bytes] : options.memory) {
    check_listed("memory", device, options.devices);
    if (bytes < 1) {
      fail(ErrorCode::invalid_argument, "memory: {}: expected at least 1 byte, found {}", device, bytes);
    }
  }
}

}  // namespace

void check(const CompileOptions& options) {
  check_devices(options.devices);
  check_route(options);
  check_ranges(options);
  check_caps(options);
}

void check(const LoadOptions& options) {
  check(options.compile);
  if (options.sequences < 1 || options.sequences > kMaxSequences) {
    fail(ErrorCode::invalid_argument, "sequences: expected 1 to {}, found {}", kMaxSequences,
         options.sequences);
  }
}

void check_layers(const CompileOptions& options, int64_t layers) {
  for (const LayerRange& range : options.layers) {
    if (range.last < layers) continue;
    fail(ErrorCode::invalid_argument, "layers: expected layers 0 to {} (the model's), found {}-{}",
         layers - 1, range.first, range.last);
  }
}

}  // namespace ingot::api
