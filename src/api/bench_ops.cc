#include "ingot/bench_ops.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "backend/registry.h"
#include "base/check.h"
#include "exec/speed_timer.h"

namespace ingot {
namespace {

using Clock = std::chrono::steady_clock;

struct Scale {
  std::vector<int64_t> sizes;  // elements of output
  size_t store_bytes;
  double batches_us;
  double most_us;  // of a launch; a longer one is passed over
  int halvings;    // of the range in which a crossover lies
};

Scale scale_of(bool is_quick) {
  if (is_quick) return {{1000, 10'000, 100'000, 1'000'000}, size_t{256} << 20, 4'000, 0.4e6, 2};
  return {{1000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000}, size_t{1} << 30, 20'000, 2e6, 3};
}

/// One device with what was measured last, by op and form: what larger sizes are predicted from.
struct TimedDevice {
  std::unique_ptr<backend::Backend> backend;
  std::unique_ptr<exec::SpeedTimer> timer;
  std::map<bool, exec::SpeedTiming> last;  // by form, of the current group
  bool is_cpu() const { return backend->name() == "cpu"; }
};

OpTiming to_timing(const exec::SpeedTiming& timing) {
  return {.us = timing.us,
          .gbps = timing.work.bytes / timing.us * 1e-3,
          .gflops = timing.work.flops / timing.us * 1e-3,
          .share = timing.share,
          .kernels = fmt::format("{}", fmt::join(timing.kernels, " + "))};
}

class OpBencher {
 public:
  explicit OpBencher(const BenchOpsOptions& options) : options_(options), scale_(scale_of(options.quick)) {
    bench_.is_quick = options.quick;
    choose_groups();
    make_devices();
  }

  OpBench run() {
    const Clock::time_point start = Clock::now();
    for (TimedDevice& device : devices_) {
      tell(fmt::format("limits of {}", device.backend->name()));
      describe(device);
    }
    for (const exec::SpeedGroup& group : groups_) {
      tell(group.name);
      measure_group(group);
    }
    bench_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(bench_);
  }

 private:
  void tell(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  /// All of them, or those that the options name: "linear" is both "linear f32" and "linear bf16".
  void choose_groups() {
    groups_ = exec::speed_groups(scale_.store_bytes / 2);
    if (options_.ops.empty()) return;
    const auto is_named = [](const exec::SpeedGroup& group, const std::string& name) {
      return group.name == name || group.name.starts_with(name + " ");
    };
    for (const std::string& name : options_.ops) {
      if (std::any_of(groups_.begin(), groups_.end(),
                      [&](const auto& group) { return is_named(group, name); }))
        continue;
      std::vector<std::string> names;
      names.reserve(groups_.size());
      for (const exec::SpeedGroup& group : groups_) names.push_back(group.name);
      fail(ErrorCode::invalid_argument, "bench: expected an op of {}, found '{}'", fmt::join(names, ", "),
           name);
    }
    std::erase_if(groups_, [&](const exec::SpeedGroup& group) {
      return std::none_of(options_.ops.begin(), options_.ops.end(),
                          [&](const std::string& name) { return is_named(group, name); });
    });
  }

  void make_devices() {
    const auto add = [&](const std::string& name) {
      for (const TimedDevice& device : devices_) {
        if (device.backend->name() == name)
          fail(ErrorCode::invalid_argument, "device: expected each once, found '{}' twice", name);
      }
      devices_.push_back(
          {.backend = backend::make_backend(name, {.threads = options_.threads, .cap_threads = true}),
           .timer = nullptr,
           .last = {}});
    };
    if (!options_.devices.empty()) {
      for (const std::string& name : options_.devices) add(name);
      return;
    }
    const std::vector<std::string> names = backend::backend_names();
    for (const std::string& name : names) {
      try {
        add(name);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::unsupported && error.code() != ErrorCode::not_found) throw;
        bench_.missing.emplace_back(error.what());
      }
    }
    if (names.size() == 1)
      bench_.missing.push_back(
          fmt::format("this build has {} only: there is no GPU to compare with", names[0]));
  }

  void describe(TimedDevice& device) {
    backend::Backend& backend = *device.backend;
    device.timer = std::make_unique<exec::SpeedTimer>(backend, scale_.store_bytes, scale_.batches_us);
    const backend::Peaks& peaks = device.timer->peaks();
    const backend::Overheads overheads = backend.measure_overheads();
    OpDevice& entry = bench_.devices.emplace_back(OpDevice{.name = std::string(backend.name()),
                                                           .description = backend.limits().device,
                                                           .read_gbps = peaks.read_gbps,
                                                           .f32_gflops = peaks.f32_gflops,
                                                           .matrix16_gflops = peaks.matrix16_gflops,
                                                           .allocations = {},
                                                           .transfers = {},
                                                           .creation_ms = overheads.creation_ms,
                                                           .empty_launch_us = overheads.empty_launch_us,
                                                           .replay_us = overheads.replay_us});
    for (const auto& cost : overheads.allocations) {
      entry.allocations.push_back({.bytes = static_cast<int64_t>(cost.bytes),
                                   .driver_us = cost.driver_us,
                                   .pool_us = cost.pool_us,
                                   .target = cost.bytes >= size_t{1} << 20 ? 100.0 : 0});
    }
    for (const auto& rate : overheads.transfers) {
      entry.transfers.push_back({.bytes = static_cast<int64_t>(rate.bytes),
                                 .to_device_gbps = rate.to_device_gbps,
                                 .from_device_gbps = rate.from_device_gbps});
    }
  }

  std::optional<OpTiming> measure(TimedDevice& device, const exec::SpeedCase& speed_case, bool is_unfused,
                                  std::string& why_not) {
    const auto last = device.last.find(is_unfused);
    if (last != device.last.end()) {
      const exec::SpeedTiming& smaller = last->second;
      const exec::Work work = exec::work_of(speed_case, is_unfused);
      const double growth = std::max(work.flops / std::max(smaller.work.flops, 1.0),
                                     work.bytes / std::max(smaller.work.bytes, 1.0));
      if (smaller.us * growth > scale_.most_us) {
        why_not = fmt::format("would take about {:.1f} s", smaller.us * growth * 1e-6);
        return std::nullopt;
      }
    }
    const std::optional<exec::SpeedTiming> timing = device.timer->measure(speed_case, is_unfused, why_not);
    if (!timing) return std::nullopt;
    device.last[is_unfused] = *timing;
    return to_timing(*timing);
  }

  OpOnDevice measure_on(TimedDevice& device, const exec::SpeedCase& speed_case) {
    OpOnDevice on{.device = std::string(device.backend->name()),
                  .unfused = std::nullopt,
                  .fused = std::nullopt,
                  .why_not = {}};
    const bool is_fused = exec::unfused_graph(speed_case).has_value();
    on.unfused = measure(device, speed_case, is_fused, on.why_not);
    if (is_fused) on.fused = measure(device, speed_case, false, on.why_not);
    return on;
  }

  OpRow measure_row(const exec::SpeedGroup& group, const exec::SpeedCase& speed_case, bool is_model_size) {
    OpRow row{.op = group.name,
              .shape = speed_case.shape,
              .elements = speed_case.elements(),
              .is_model_size = is_model_size,
              .devices = {},
              .is_met = std::nullopt};
    for (TimedDevice& device : devices_) {
      OpOnDevice& on = row.devices.emplace_back(measure_on(device, speed_case));
      if (on.best() == nullptr) continue;
      const exec::SpeedTimer::Transfer transfer = device.timer->measure_transfer(speed_case);
      on.to_device_us = transfer.to_device_us;
      on.from_device_us = transfer.from_device_us;
    }
    compare(group, row);
    return row;
  }

  void compare(const exec::SpeedGroup& group, OpRow& row) const {
    const OpOnDevice* cpu = nullptr;
    const OpOnDevice* other = nullptr;
    for (const OpOnDevice& on : row.devices) {
      if (on.device == "cpu") {
        cpu = &on;
      } else if (other == nullptr) {
        other = &on;
      }
    }
    if (other == nullptr) return;
    const double unfused_us = other->unfused ? other->unfused->us : 0;
    const double fused_us = other->fused ? other->fused->us : 0;
    if (unfused_us > 0 && fused_us > 0) row.fused_gain = unfused_us / fused_us;
    if (row.is_model_size) {
      row.target = group.target;
      row.fused_target = group.fused_target;
    }
    if (cpu == nullptr || cpu->best() == nullptr) return;
    if (unfused_us > 0) row.speedup = cpu->best()->us / unfused_us;
    if (fused_us > 0) row.fused_speedup = cpu->best()->us / fused_us;
    // A fused op is asked for as such; what it is made of are rows of their own.
    if (row.fused_target > 0 && fused_us > 0) {
      row.is_met = row.fused_speedup >= row.fused_target;
    } else if (row.target > 0 && row.fused_target == 0 && unfused_us > 0) {
      row.is_met = row.speedup >= row.target;
    }
  }

  void measure_group(const exec::SpeedGroup& group) {
    std::vector<std::pair<int64_t, bool>> wins;  // by size: whether the other device is faster
    for (TimedDevice& device : devices_) device.last.clear();
    for (int64_t size : scale_.sizes) {
      if (size < group.least) continue;
      bench_.rows.push_back(measure_row(group, group.of_size(size), false));
      if (const auto win = faster_than_cpu(bench_.rows.back())) wins.emplace_back(size, *win);
    }
    for (const exec::SpeedCase& speed_case : group.model_sizes)
      bench_.rows.push_back(measure_row(group, speed_case, true));
    if (!wins.empty()) bench_.crossovers.push_back(find_crossover(group, wins));
  }

  static std::optional<bool> faster_than_cpu(const OpRow& row) {
    const double most = std::max(row.speedup, row.fused_speedup);
    return most > 0 ? std::optional(most > 1) : std::nullopt;
  }

  /// Halves, on a logarithmic scale, the range between the largest size at which the CPU wins and the next.
  OpCrossover find_crossover(const exec::SpeedGroup& group,
                             const std::vector<std::pair<int64_t, bool>>& wins) {
    for (TimedDevice& device : devices_) device.last.clear();
    OpCrossover crossover{.op = group.name, .elements = std::nullopt};
    const auto wins_at = [&](int64_t size) {
      return faster_than_cpu(measure_row(group, group.of_size(size), false)).value_or(false);
    };
    const auto lost = std::find_if(wins.rbegin(), wins.rend(), [](const auto& win) { return !win.second; });
    if (lost == wins.rbegin()) return crossover;  // the CPU wins at the largest size
    int64_t above = lost == wins.rend() ? wins.front().first : std::prev(lost)->first;
    int64_t below = lost == wins.rend() ? 0 : lost->first;
    while (below == 0 && above / 2 >= group.least) {
      if (wins_at(above / 2)) {
        above /= 2;
      } else {
        below = above / 2;
      }
    }
    for (int i = 0; i < scale_.halvings && below > 0; ++i) {
      const auto middle =
          static_cast<int64_t>(std::sqrt(static_cast<double>(below) * static_cast<double>(above)));
      if (middle <= below || middle >= above) break;
      (wins_at(middle) ? above : below) = middle;
    }
    crossover.is_smallest = below == 0;
    crossover.elements = group.of_size(above).elements();
    return crossover;
  }

  const BenchOpsOptions& options_;
  const Scale scale_;
  std::vector<exec::SpeedGroup> groups_;
  std::vector<TimedDevice> devices_;
  OpBench bench_;
};

}  // namespace

OpBench bench_ops(const BenchOpsOptions& options) {
  return OpBencher(options).run();
}

}  // namespace ingot
