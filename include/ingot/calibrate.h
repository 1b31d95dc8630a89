// Calibration: how fast this machine's kernels are, measured once and kept in the user's cache folder.
//
// The router and explain predict from it. One device alone needs none to run. Every function throws
// ingot::Error and nothing else; calls may come from several threads, but measure best when nothing else
// runs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/dtype.h"
#include "ingot/error.h"

namespace ingot {

struct CalibrateOptions {
  std::string device = "cpu";
  int threads = 0;     // 0: one on each performance core that this process may use
  bool force = false;  // measure even if the file has this machine's
  /// Gets one line, without an end, for each thing worth knowing: that measuring starts, why a file is
  /// ignored, that it cannot be written.
  std::function<void(std::string_view line)> notice = {};
};

/// A rate at a size: GB/s at a working set in bytes, or GFLOP/s at a number of rows.
struct MeasuredRate {
  double size = 0;
  double rate = 0;
};

/// One kernel at one weight type.
struct KernelRates {
  std::string op;
  std::string kernel;
  DType weight = DType::f32;
  std::string layout;  // of a linear's weight, or the width of attention's heads; may be empty
  double launch_us = 0;
  std::vector<MeasuredRate> gbps;    // by working set; empty: arithmetic alone bounds it
  std::vector<MeasuredRate> gflops;  // by rows; empty: bytes alone bound it
};

struct CalibrationReport {
  std::string device;
  std::string description;
  int threads = 1;
  std::string instruction_set;
  std::string build;
  std::string hash;      // of all that counts; explain prints it, too
  std::string path;      // of the file; empty: it could not be written
  double seconds = 0;    // that measuring took
  bool is_new = false;   // measured by this call
  double launch_us = 0;  // of a kernel without rates of its own; likewise the next two
  std::vector<MeasuredRate> gbps;
  std::vector<std::pair<DType, double>> gflops;
  bool shares_host_memory = true;
  double transfer_us = 0;  // to and from the host, where it has memory of its own
  double transfer_gbps = 0;
  std::vector<KernelRates> kernels;
};

/// This machine's calibration: from the file, or measured in a few seconds and written there. Errors:
/// invalid_argument for a device or a number of threads that there is not, out_of_memory.
CalibrationReport calibrate(const CalibrateOptions& options = {});

}  // namespace ingot
