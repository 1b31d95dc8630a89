#include "exec/measure_costs.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "exec/calibration_cases.h"
#include "exec/calibration_file.h"
#include "exec/timed_case.h"

namespace ingot::exec {
namespace {

using backend::Backend;
using backend::StepClass;
using graph::Symbol;
using graph::WeightOrder;
using opcases::OpCase;

constexpr double kMiB = 0x1p20;
constexpr double kPerMicrosecond = 1e3;  // GB/s, GFLOP/s: thousands of bytes or operations a microsecond
// Half as many heads of keys as of queries, as in most models of the last years.
constexpr int64_t kHeads = 8;
constexpr int64_t kKvHeads = 4;

constexpr int kLeastRounds = 3;
constexpr int kMostRounds = 6;
constexpr double kMostSeconds = 6;  // no round begins after so long

// Working sets from a core's cache to far beyond the last one.
constexpr double kSets[] = {1 * kMiB, 4 * kMiB, 12 * kMiB, 24 * kMiB, 48 * kMiB, 128 * kMiB, 512 * kMiB};

/// One case at one working set; the best of several rounds, as whoever else uses the machine only ever adds
/// time.
struct Probe {
  std::shared_ptr<TimedCase> timed;
  double set_bytes = 0;
  Sample best;

  /// True if this was notably better than what was there.
  bool measure() {
    constexpr double kNotable = 0.95;
    const Sample sample = timed->measure(set_bytes);
    const bool is_notable = best.us == 0 || sample.us < kNotable * best.us;
    if (best.us == 0 || sample.us < best.us) best = sample;
    return is_notable;
  }
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double rate_of(double amount, double us, double launch_us) {
  const double rate = amount / (std::max(us - launch_us, 0.05 * us) * kPerMicrosecond);
  return std::clamp(rate, kLeastRate, kMostRate);
}

/// The probes of one kernel and what is fitted to them.
struct KernelProbes {
  KernelCosts entry;
  Probe small;                 // with the first of `by_set`: overhead
  std::vector<Probe> by_set;   // bandwidth
  std::vector<Probe> by_rows;  // arithmetic

  size_t count() const { return 1 + by_set.size() + by_rows.size(); }
  /// How many probes found a notably better time.
  size_t measure() {
    size_t better = small.measure() ? 1 : 0;
    for (Probe& probe : by_set) better += probe.measure() ? 1 : 0;
    for (Probe& probe : by_rows) better += probe.measure() ? 1 : 0;
    return better;
  }

  KernelCosts fit() const {
    KernelCosts costs = entry;
    costs.launch_us = overhead_us();
    for (const Probe& probe : by_set) {
      // Copies of a large weight: the smallest sets may be the same.
      if (!costs.gbps.empty() && probe.best.set_bytes <= costs.gbps.points.back().size) continue;
      costs.gbps.points.push_back({.size = probe.best.set_bytes,
                                   .rate = rate_of(probe.best.work.bytes, probe.best.us, costs.launch_us)});
    }
    for (const Probe& probe : by_rows) {
      costs.gflops.points.push_back(
          {.size = probe.best.rows, .rate = rate_of(probe.best.work.flops, probe.best.us, costs.launch_us)});
    }
    return costs;
  }

 private:
  /// The part of the small launch's time that does not grow with its bytes or operations.
  double overhead_us() const {
    const Sample& least = small.best;
    const auto amount = [&](const Sample& sample) {
      return by_set.empty() ? sample.work.flops : sample.work.bytes;
    };
    const Sample& most = by_set.empty() ? by_rows.front().best : by_set.front().best;
    const double per_unit = std::max(0.0, (most.us - least.us) / (amount(most) - amount(least)));
    return std::max(least.us - per_unit * amount(least), 0.05 * least.us);
  }
};

bool same_kernel(const KernelCosts& a, const KernelCosts& b) {
  return a.op == b.op && a.kernel == b.kernel && a.weight == b.weight && a.layout == b.layout;
}

class Calibrator {
 public:
  explicit Calibrator(Backend& backend)
      : backend_(backend),
        arena_(backend,
               std::min(std::end(kSets)[-1], static_cast<double>(backend.limits().memory_bytes) / 8)) {
    costs_.device = backend.name();
    costs_.description = backend.limits().device;
  }

  DeviceCosts run() {
    for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (WeightOrder order : {WeightOrder::out_in, WeightOrder::in_out}) {
        linear_decode(dtype, order);
        linear_prefill(dtype, order);
      }
    }
    for (DType dtype : {DType::q8_0, DType::q4_k}) {
      linear_decode(dtype, WeightOrder::out_in);
      linear_prefill(dtype, WeightOrder::out_in);
    }
    for (int64_t head_dim : {64, 128}) {
      attention_decode(head_dim);
      attention_prefill(head_dim);
    }
    // On a quiet machine the second round finds what the first did; on a busy one some more are worth it.
    size_t better = 1;
    for (int round = 0; round < kMostRounds; ++round) {
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
      if (round > 0 && (elapsed.count() > kMostSeconds || (round >= kLeastRounds && better == 0))) break;
      size_t all = 0;
      better = 0;
      for (KernelProbes& probes : probes_) {
        all += probes.count();
        better += probes.measure();
      }
      if (better * 20 < all) better = 0;
    }
    for (const KernelProbes& probes : probes_) costs_.kernels.push_back(probes.fit());
    sample();
    for (const opcases::OpCases& row : opcases::table()) {
      for (StepClass step : {StepClass::prefill, StepClass::decode}) other(row, step);
    }
    device();
    transfers();
    return std::move(costs_);
  }

 private:
  Probe probe(const OpCase& op_case, StepClass step, double set_bytes = 0) {
    return {.timed = std::make_shared<TimedCase>(backend_, arena_, op_case, step),
            .set_bytes = set_bytes,
            .best = {}};
  }

  /// Adds what was prepared, if the backend has the kernel.
  void add(KernelProbes probes) {
    const TimedCase& timed = *probes.small.timed;
    if (timed.kernel() == nullptr) return;
    probes.entry = entry_of(timed);
    probes_.push_back(std::move(probes));
  }
  static KernelCosts entry_of(const TimedCase& timed) {
    KernelCosts entry;
    entry.op = timed.op().name();
    entry.kernel = timed.kernel()->name;
    entry.weight = weight_type(timed.op(), timed.inputs());
    entry.layout = weight_layout(timed.op(), timed.inputs());
    return entry;
  }

  /// Each weight read once: bound by bandwidth and, with several rows, by arithmetic.
  void linear_decode(DType dtype, WeightOrder order) {
    const auto of = [&](int64_t rows, int64_t in, int64_t out) {
      return linear_case(weights_, dtype, order, rows, in, out);
    };
    KernelProbes probes;
    probes.small = probe(of(1, 256, 512), StepClass::decode, kSets[0]);
    add_sets(probes, of(1, 1024, 1024), StepClass::decode);
    for (int64_t rows : {1, 2, 4, 8, 16, 32})
      probes.by_rows.push_back(probe(of(rows, 1024, 1024), StepClass::decode));
    add(std::move(probes));
  }

  /// Bound by arithmetic; a row alone (the head's of a prompt) by decoding the weights as they come.
  void linear_prefill(DType dtype, WeightOrder order) {
    const auto of = [&](int64_t rows, int64_t width) {
      return linear_case(weights_, dtype, order, rows, width, width);
    };
    KernelProbes probes;
    // The least width there is, or that blocks allow.
    probes.small =
        probe(of(1, std::max<int64_t>(64, block_of(dtype).elements)), StepClass::prefill, kSets[0]);
    add_sets(probes, of(1, 1024), StepClass::prefill);
    // Launches of a millisecond: longer ones are seldom undisturbed on a busy machine.
    for (int64_t rows : {1, 4, 16, 32, 64, 256})
      probes.by_rows.push_back(probe(of(rows, rows < 64 ? 1024 : 512), StepClass::prefill));
    add(std::move(probes));
  }

  void attention_decode(int64_t head_dim) {
    const auto of = [&](int64_t sequences, int64_t context) {
      const std::vector<opcases::StepPart> parts(static_cast<size_t>(sequences), {1, context});
      return attention_case(parts, kHeads, kKvHeads, head_dim);
    };
    KernelProbes probes;
    probes.small = probe(of(1, 32), StepClass::decode, kSets[0]);
    add_sets(probes, of(1, 1024), StepClass::decode);
    for (const int64_t sequences : {1, 4})
      probes.by_rows.push_back(probe(of(sequences, 512), StepClass::decode));
    add(std::move(probes));
  }

  void attention_prefill(int64_t head_dim) {
    const auto of = [&](int64_t rows) {
      return probe(attention_case({{rows, rows}}, kHeads, kKvHeads, head_dim), StepClass::prefill);
    };
    KernelProbes probes;
    probes.small = of(4);
    for (int64_t rows : {16, 64, 256}) probes.by_rows.push_back(of(rows));
    add(std::move(probes));
  }

  void add_sets(KernelProbes& probes, const OpCase& op_case, StepClass step) {
    const auto timed = std::make_shared<TimedCase>(backend_, arena_, op_case, step);
    for (double set : kSets) {
      if (set <= arena_.bytes()) probes.by_set.push_back({.timed = timed, .set_bytes = set, .best = {}});
    }
  }

  void sample() {
    Probe small = probe(sample_case(1, 64), StepClass::decode);
    if (small.timed->kernel() == nullptr) return;
    small.measure();
    KernelCosts entry = entry_of(*small.timed);
    entry.launch_us = small.best.us;
    add_bandwidth(entry, sample_case(1, 32768), StepClass::decode);
    costs_.kernels.push_back(std::move(entry));
  }

  /// The ops without a plan of their own: the smallest case for the overhead, the speed case of each weight
  /// type, or else the largest, at two numbers of rows for the bandwidth.
  void other(const opcases::OpCases& row, StepClass step) {
    if (row.op.starts_with("linear") || row.op == "attention" || row.op == "sample") return;
    const std::vector<OpCase> cases = row.cases();
    const Extremes extremes = extremes_of(cases);
    for (size_t i = 0; i < cases.size(); ++i) {
      if (!cases[i].is_speed_case && (extremes.has_speed_case || i != extremes.largest)) continue;
      TimedCase timed(backend_, arena_, cases[i], step);
      if (timed.kernel() == nullptr) continue;
      KernelCosts entry = entry_of(timed);
      const auto is_same = [&](const KernelCosts& costs) { return same_kernel(costs, entry); };
      if (std::any_of(costs_.kernels.begin(), costs_.kernels.end(), is_same)) continue;
      Probe smallest = probe(cases[extremes.smallest], step);
      if (smallest.timed->kernel() != nullptr) smallest.measure();
      entry.launch_us = smallest.best.us;
      OpCase fewer = cases[i];
      fewer.dims[Symbol::tokens] /= 32;
      if (cases[i].is_speed_case && fewer.dims[Symbol::tokens] > 0) add_bandwidth(entry, fewer, step);
      add_bandwidth(entry, cases[i], step);
      costs_.kernels.push_back(std::move(entry));
    }
  }

  /// The least and the most bytes among the cases that do something, the speed cases apart.
  struct Extremes {
    size_t smallest = 0;
    size_t largest = 0;
    bool has_speed_case = false;
  };
  static Extremes extremes_of(const std::vector<OpCase>& cases) {
    constexpr size_t kTried = 60;  // enough to have seen every size
    Extremes found;
    double least = 0;
    double most = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
      if (cases[i].is_speed_case) found.has_speed_case = true;
      if (cases[i].is_speed_case || i >= kTried) continue;
      const opcases::BuiltCase built = build(cases[i]);
      const std::vector<graph::Tensor> inputs = built.inputs();
      const double bytes = work_of(built.op(), inputs, built.output()).bytes;
      if (built.output().elements() == 0) continue;
      if (least == 0 || bytes < least) found.smallest = i;
      if (bytes > most) found.largest = i;
      least = least == 0 ? bytes : std::min(least, bytes);
      most = std::max(most, bytes);
    }
    return found;
  }

  void add_bandwidth(KernelCosts& entry, const OpCase& op_case, StepClass step) {
    try {
      Probe timed = probe(op_case, step);
      timed.measure();
      const Sample& sample = timed.best;
      // Some recipes do not depend on the tokens.
      if (!entry.gbps.empty() && sample.work.bytes <= entry.gbps.points.back().size) return;
      if (sample.work.bytes <= 0) return;
      entry.gbps.points.push_back(
          {.size = sample.work.bytes, .rate = rate_of(sample.work.bytes, sample.us, entry.launch_us)});
    } catch (const Error& error) {
      // A recipe that holds values for its own number of rows has no other.
      if (error.code() != ErrorCode::invalid_argument) throw;
    }
  }

  /// What a kernel without rates of its own takes.
  void device() {
    std::vector<double> launches;
    for (const KernelCosts& entry : costs_.kernels) {
      launches.push_back(entry.launch_us);
      if (entry.op != "linear" || entry.layout != "out_in") continue;
      if (!entry.gbps.empty() && costs_.gbps.empty()) costs_.gbps = entry.gbps;
      if (entry.gbps.empty())
        costs_.gflops.push_back({.dtype = entry.weight, .gflops = entry.gflops.points.back().rate});
    }
    if (!launches.empty()) costs_.launch_us = median(std::move(launches));
    if (costs_.gbps.empty() || costs_.gflops.empty()) {
      const backend::Peaks peaks = backend_.measure_peaks();
      if (costs_.gbps.empty()) costs_.gbps.points = {{.size = std::end(kSets)[-1], .rate = peaks.read_gbps}};
      if (costs_.gflops.empty()) costs_.gflops = {{.dtype = DType::f32, .gflops = peaks.f32_gflops}};
    }
  }

  /// Nothing where the device has the host's memory; else the latency of a small copy, and the rate of a
  /// large one.
  void transfers() {
    costs_.shares_host_memory = backend_.limits().shares_host_memory;
    if (costs_.shares_host_memory) return;
    const std::vector<std::byte> host(size_t{32} << 20);
    const PooledBuffer device = backend_.allocate(host.size());
    const auto copy_us = [&](size_t bytes) {
      std::vector<double> us;
      for (int i = 0; i < 5; ++i) {
        const auto start = std::chrono::steady_clock::now();
        backend_.copy(device.data(), host.data(), bytes);
        backend_.synchronize();
        us.push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
      }
      return median(std::move(us));
    };
    costs_.transfer_us = copy_us(64);
    costs_.transfer_gbps =
        rate_of(static_cast<double>(host.size()), copy_us(host.size()), costs_.transfer_us);
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Backend& backend_;
  Arena arena_;
  WeightBytes weights_;
  std::vector<KernelProbes> probes_;
  DeviceCosts costs_;
};

}  // namespace

DeviceCosts measure_costs(Backend& backend) {
  return Calibrator(backend).run();
}

}  // namespace ingot::exec
