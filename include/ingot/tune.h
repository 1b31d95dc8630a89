// Tuning: of kernels that a device has several forms of, the fastest for a model's step, measured once and
// kept.
//
// Forms of a kernel give the same bits: tuning changes speed alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/error.h"

namespace ingot {

struct TuneOptions {
  int64_t batch = 1;    // sequences of the step, each of which generates a token
  int64_t context = 0;  // tokens of each; 0: 256, or the model's context where that is less
  /// Gets one line, without an end, for each thing worth knowing.
  std::function<void(std::string_view line)> notice = {};
};

/// A shape of which a device has several forms.
struct TunedShape {
  std::string shape;
  std::string form;    // the fastest, which is used from now on
  std::string rule;    // what is used untuned
  double step_us = 0;  // the step with `form`
  double rule_us = 0;  // the step with `rule`
};

struct TuneReport {
  std::vector<TunedShape> shapes;  // empty: the devices have one form of everything
  std::string path;                // of the file that keeps them; empty: none
  double seconds = 0;
};

}  // namespace ingot
