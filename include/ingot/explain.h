// Explanation: what the steps of a model run, on which device, by which kernel, why, and how close to the
// machine's limit. LLM::explain() makes one; the functions below print it.
//
// Plain data: owns everything it holds, points at nothing, may be kept after the LLM is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingot/dtype.h"

namespace ingot {

struct ExplainOptions {
  bool decode = true;         // one token for each of `batch` sequences
  bool prefill = true;        // the prompt of one sequence, or its last chunk
  int64_t prompt_tokens = 0;  // 0: 256, or what the context holds
  int64_t batch = 1;          // sequences of the decode step
  int64_t context = 0;        // tokens each decoding sequence sees; 0: the prompt and one more
  int repetitions = 0;        // medians are over these; 0: as many as fit in half a second, 5 to 50
  /// Measure: each launch alone, the whole step, the devices' roofs, and how fast their kernels are where no
  /// calibration says so. Without it there are only predictions, of devices that are calibrated.
  bool profile = true;
  /// Gets one line, without an end, for each thing worth knowing: that a device is calibrated now.
  std::function<void(std::string_view line)> notice = {};
};

/// A device of the plan, with what it can do at most: measured in the same run, 0 without profiling.
struct ExplainDevice {
  std::string name;            // "cpu"
  std::string description;     // "AMD EPYC, 2 threads, AVX3"
  double read_gbps = 0;        // GB/s from memory, not from a cache
  double f32_gflops = 0;       // GFLOP/s, two a multiply-add
  double int8_gops = 0;        // the same of 8-bit integers: the limit of weights in block formats
  double matrix16_gflops = 0;  // of products of 16-bit matrices, where the device has units for them
};

/// What one fusion pass did.
struct ExplainPass {
  std::string name;
  bool ran = false;  // false: switched off
  int rewrites = 0;
  int64_t nodes_before = 0;
  int64_t nodes_after = 0;
  double microseconds = 0;
};

/// Which of a device's limits is the nearer one.
enum class ExplainLimit : uint8_t { none, memory, compute };

/// One launch of the step, or a transfer between devices, in the order they run.
struct ExplainRow {
  bool is_transfer = false;
  std::string op;          // "linear_add"; of a transfer "transfer"
  std::string attributes;  // as in the printed graph
  std::string label;       // "model.layers.0.mlp.down_proj", may be empty
  std::string type;        // of the output over symbolic dimensions: "f32[T, 384]"
  std::string shape;       // of the output in this step: "f32[1, 384]"
  std::string device;
  std::string kernel;
  std::string reason;  // why this device and kernel
  int64_t layer = -1;  // of the model; -1: none
  /// The row that stands for this one when equal layers are folded: itself, or its like in an earlier layer.
  int64_t representative = 0;
  std::vector<int64_t> inputs;     // rows whose results it reads
  std::vector<std::string> reads;  // step inputs, weights and states that it reads, by name
  double flops = 0;
  double bytes = 0;           // read and written, each once
  DType weight = DType::f32;  // that it multiplies with: decides which peak bounds it
  std::optional<double> predicted_us;
  std::optional<double> measured_us;  // run alone, median
  /// The larger of bytes/time/bandwidth and flops/time/peak. Over 1 where a cache feeds a kernel faster than
  /// memory could.
  std::optional<double> share;
  ExplainLimit limit = ExplainLimit::none;  // which of the two it is
};

/// Sums over the rows of one op.
struct ExplainTotal {
  std::string op;
  int64_t launches = 0;
  double flops = 0;
  double bytes = 0;
  std::optional<double> predicted_us;
  std::optional<double> measured_us;
};

/// A step's value that leaves it: "next", "logits".
struct ExplainOutput {
  std::string name;
  int64_t row = -1;  // that computes it; -1: none does
};

/// Bytes that the plan takes on a device.
struct ExplainMemory {
  std::string device;     // "host": host memory, where no device of the plan works in it
  int64_t arena = 0;      // planned for intermediate values
  int64_t live = 0;       // most of them alive at once: no arena can be smaller
  int64_t workspace = 0;  // the largest launch's
  int64_t weights = 0;    // that its launches read
  int64_t states = 0;     // KV cache and the like
};

struct ExplainStep {
  std::string step;    // "decode", "prefill"
  int64_t tokens = 0;  // rows of the step, all sequences together
  int64_t sequences = 0;
  int64_t context = 0;  // tokens in the cache of each sequence when the step ends

  std::string graph_before;  // as the model built it, as text
  std::string graph_after;   // as it runs: fused
  int64_t ops_before = 0;    // nodes that are ops
  int64_t ops_after = 0;
  int64_t launches_before = 0;  // that the graph would take unfused
  int64_t launches = 0;         // that it takes
  std::vector<ExplainPass> passes;

  std::vector<ExplainRow> rows;
  std::vector<ExplainOutput> outputs;
  std::vector<ExplainTotal> totals;  // most time first
  std::vector<std::string> notes;    // devices passed over, fallbacks
  std::string calibration;           // hash of what predictions come from; empty: none

  std::optional<double> predicted_us;  // sum over the rows
  std::optional<double> measured_us;   // sum over the rows, each run alone
  std::optional<double> step_us;       // the step as it really runs, median
  /// Median of |predicted - measured| / measured over the rows that take 90 % of the measured time.
  std::optional<double> prediction_error;
  int64_t prediction_error_rows = 0;  // that those are

  std::vector<ExplainMemory> memory;
};

struct Explanation {
  std::string model;  // folder
  std::string architecture;
  int64_t layers = 0;
  int64_t parameters = 0;
  std::vector<ExplainDevice> devices;
  int repetitions = 0;  // asked for; 0: chosen by step
  std::vector<ExplainStep> steps;
};

struct ExplainTextOptions {
  bool all_layers = false;  // every layer's rows; else equal layers are one, with sums
  bool graphs = false;      // both graphs as text, in place of the tables
};

/// Aligned tables for a terminal of 120 columns and more.
std::string to_text(const Explanation& explanation, const ExplainTextOptions& options = {});
/// Everything, as one JSON object.
std::string to_json(const Explanation& explanation);
/// The fused graph of the first step for Graphviz.
std::string to_dot(const Explanation& explanation);
/// One page that needs nothing else: the graph drawn, a timeline, a roofline plot and the table.
std::string to_html(const Explanation& explanation);

/// What ran where and why, without figures of a machine: what the golden tests compare.
std::string to_plan_text(const ExplainStep& step);

}  // namespace ingot
