// ingot bench ops: the operator table.
#include "ingot/bench_ops.h"

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "verbs.h"

namespace ingot::cli {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const std::optional<OpTiming>& timing) {
  if (!timing) return nullptr;
  return {{"us", timing->us},
          {"gbps", timing->gbps},
          {"gflops", timing->gflops},
          {"share_of_limit", timing->share},
          {"kernels", timing->kernels}};
}

ordered_json to_json(const OpDevice& device) {
  auto allocations = ordered_json::array();
  for (const AllocationCost& cost : device.allocations) {
    allocations.push_back({{"bytes", cost.bytes}, {"driver_us", cost.driver_us}, {"pool_us", cost.pool_us}});
  }
  auto transfers = ordered_json::array();
  for (const TransferCost& cost : device.transfers) {
    transfers.push_back({{"bytes", cost.bytes},
                         {"to_device_gbps", cost.to_device_gbps},
                         {"from_device_gbps", cost.from_device_gbps}});
  }
  return {{"name", device.name},
          {"description", device.description},
          {"read_gbps", device.read_gbps},
          {"f32_gflops", device.f32_gflops},
          {"matrix16_gflops", device.matrix16_gflops},
          {"allocations", allocations},
          {"transfers", transfers},
          {"creation_ms", device.creation_ms},
          {"empty_launch_us", device.empty_launch_us},
          {"replay_us", device.replay_us}};
}

ordered_json to_json(const OpRow& row) {
  auto devices = ordered_json::object();
  for (const OpOnDevice& on : row.devices) {
    ordered_json entry = {{"unfused", to_json(on.unfused)},
                          {"fused", to_json(on.fused)},
                          {"to_device_us", on.to_device_us},
                          {"from_device_us", on.from_device_us}};
    if (!on.why_not.empty()) entry["why_not"] = on.why_not;
    devices[on.device] = std::move(entry);
  }
  ordered_json entry = {{"op", row.op},
                        {"shape", row.shape},
                        {"elements", row.elements},
                        {"is_model_size", row.is_model_size},
                        {"devices", devices}};
  if (row.speedup > 0) entry["speedup"] = row.speedup;
  if (row.fused_speedup > 0) entry["fused_speedup"] = row.fused_speedup;
  if (row.fused_gain > 0) entry["fused_gain"] = row.fused_gain;
  if (row.is_met) {
    entry["target"] = row.fused_target > 0 ? row.fused_target : row.target;
    entry["is_met"] = *row.is_met;
  }
  return entry;
}

ordered_json to_json(const OpBench& bench) {
  auto devices = ordered_json::array();
  for (const OpDevice& device : bench.devices) devices.push_back(to_json(device));
  auto rows = ordered_json::array();
  for (const OpRow& row : bench.rows) rows.push_back(to_json(row));
  auto crossovers = ordered_json::array();
  for (const OpCrossover& crossover : bench.crossovers) {
    ordered_json entry = {
        {"op", crossover.op}, {"elements", nullptr}, {"is_smallest", crossover.is_smallest}};
    if (crossover.elements) entry["elements"] = *crossover.elements;
    crossovers.push_back(std::move(entry));
  }
  return {{"version", version()},     {"quick", bench.is_quick}, {"seconds", bench.seconds},
          {"missing", bench.missing}, {"devices", devices},      {"rows", rows},
          {"crossovers", crossovers}};
}

std::string time_text(double us) {
  if (us <= 0) return "";
  if (us < 1e3) return fmt::format("{:.2f} us", us);
  if (us < 1e6) return fmt::format("{:.2f} ms", us * 1e-3);
  return fmt::format("{:.2f} s", us * 1e-6);
}

std::string times_text(double times) {
  return times > 0 ? fmt::format("{:.3g} x", times) : "";
}

/// One line of the table: an op in one form on one device.
void print_line(std::string_view op, std::string_view shape, const std::string& where, const OpTiming& timing,
                double speedup, double gain, std::string_view met) {
  fmt::print("{:<20} {:<36} {:<11} {:>10} {:>8.1f} {:>10.1f} {:>6.1f} % {:>9} {:>9} {}\n", op, shape, where,
             time_text(timing.us), timing.gbps, timing.gflops, 100 * timing.share, times_text(speedup),
             times_text(gain), met);
}

void print_row(const OpRow& row) {
  std::string_view op = row.op;
  std::string_view shape = row.shape;
  const auto first = [&] {
    op = {};
    shape = {};
  };
  bool is_compared = false;
  for (const OpOnDevice& on : row.devices) {
    const bool is_other = on.device != "cpu" && !std::exchange(is_compared, on.device != "cpu");
    std::string met;
    if (is_other && row.is_met) {
      met = fmt::format("{} {:g} x", *row.is_met ? "met:" : "NOT MET:",
                        row.fused_target > 0 ? row.fused_target : row.target);
    }
    const bool is_met_by_fused = row.fused_target > 0;
    if (on.unfused) {
      print_line(op, shape, on.device, *on.unfused, is_other ? row.speedup : 0, 0,
                 is_met_by_fused ? "" : met);
      first();
    }
    if (on.fused) {
      const double gain = on.unfused ? on.unfused->us / on.fused->us : 0;
      print_line(op, shape, on.device + " fused", *on.fused, is_other ? row.fused_speedup : 0, gain,
                 is_met_by_fused ? met : "");
      first();
    }
    if (!on.why_not.empty()) {
      fmt::print("{:<20} {:<36} {:<11} not measured: {}\n", op, shape, on.device, on.why_not);
      first();
    }
    if (on.to_device_us > 0) {
      fmt::print("{:<20} {:<36} {:<11} {:>10} over, {} back\n", "", "", "  transfers",
                 time_text(on.to_device_us), time_text(on.from_device_us));
    }
  }
}

void print_device(const OpDevice& device) {
  fmt::print("{}: {}\n", device.name, device.description);
  fmt::print("  limits: {:.0f} GB/s, {:.0f} GFLOP/s of f32{}\n", device.read_gbps, device.f32_gflops,
             device.matrix16_gflops > 0
                 ? fmt::format(", {:.0f} GFLOP/s of 16-bit matrices", device.matrix16_gflops)
                 : "");
  for (const AllocationCost& cost : device.allocations) {
    const double times = cost.driver_us / cost.pool_us;
    fmt::print("  allocate and free {}: driver {}, pool {}, {:.0f} x{}\n", human_bytes(cost.bytes),
               time_text(cost.driver_us), time_text(cost.pool_us), times,
               cost.target == 0
                   ? ""
                   : fmt::format(" ({} {:g} x)", times >= cost.target ? "met:" : "NOT MET:", cost.target));
  }
  for (const TransferCost& cost : device.transfers) {
    fmt::print("  transfer of {}: {:.1f} GB/s to the device, {:.1f} GB/s back\n", human_bytes(cost.bytes),
               cost.to_device_gbps, cost.from_device_gbps);
  }
  if (device.creation_ms > 0) {
    fmt::print("  creation {:.0f} ms, empty launch {}, a launch of a recording {}\n", device.creation_ms,
               time_text(device.empty_launch_us), time_text(device.replay_us));
  }
}

void print(const OpBench& bench) {
  for (const OpDevice& device : bench.devices) print_device(device);
  for (const std::string& line : bench.missing) fmt::print("missing: {}\n", line);
  fmt::print("\n{:<20} {:<36} {:<11} {:>10} {:>8} {:>10} {:>8} {:>9} {:>9} {}\n", "op", "shape", "on", "time",
             "GB/s", "GFLOP/s", "of limit", "vs cpu", "unfused", "at models' sizes");
  std::string_view op;
  for (const OpRow& row : bench.rows) {
    if (row.op != op) fmt::print("\n");
    op = row.op;
    print_row(row);
  }
  if (!bench.crossovers.empty()) fmt::print("\nfaster than the CPU from so many elements on:\n");
  for (const OpCrossover& crossover : bench.crossovers) {
    fmt::print("  {:<20} {}\n", crossover.op,
               !crossover.elements ? "at no size that was measured"
               : crossover.is_smallest
                   ? fmt::format("{}, the smallest that was measured", *crossover.elements)
                   : fmt::format("{}", *crossover.elements));
  }
  fmt::print("\nmeasured in {:.0f} s\n", bench.seconds);
}

}  // namespace

void add_bench_ops(CLI::App& bench) {
  struct Options {
    BenchOpsOptions bench;
    std::string file;
    std::string commit;
  };
  auto options = std::make_shared<Options>();
  CLI::App* verb = bench.add_subcommand("ops", "Measure single ops over sizes, on every device");
  std::string names;
  for (const std::string& name : devices()) names += (names.empty() ? "" : ",") + name;
  verb->add_option(
          "--device",
          [options](const CLI::results_t& values) {
            options->bench.devices =
                read_list("--device", "a comma-separated list of devices", values.front());
            return true;
          },
          fmt::format("devices to measure (default: those of {} that are there)", names))
      ->type_name("NAME[,NAME]")
      ->expected(1);
  verb->add_option(
          "--op",
          [options](const CLI::results_t& values) {
            options->bench.ops = read_list("--op", "a comma-separated list of ops", values.front());
            return true;
          },
          "ops to measure (default: all)")
      ->type_name("NAME[,NAME]")
      ->expected(1);
  add_number(*verb, "--threads", options->bench.threads, "CPU threads (default: one a performance core)",
             "N");
  verb->add_flag("--quick", options->bench.quick, "up to a million elements, and less exactly");
  verb->add_option("--json", options->file, "also write one JSON object to this file")->type_name("FILE");
  verb->add_option("--commit", options->commit, "what to write as \"commit\" there")->type_name("NAME");
  verb->footer(
      "Operands lie on the device: transfers are apart. Limits are measured first; a share above 100 % "
      "comes\n"
      "from a cache.\nExample: ingot bench ops --json ops.json");
  verb->callback([options] {
    // Before the minute that measuring takes.
    std::ofstream file;
    if (!options->file.empty()) {
      file.open(options->file);
      if (!file) throw Error(ErrorCode::io, fmt::format("{}: cannot be written", options->file));
    }
    options->bench.progress = [](std::string_view line) { fmt::print(stderr, "ingot: {}\n", line); };
    const OpBench found = bench_ops(options->bench);
    print(found);
    if (!file.is_open()) return;
    ordered_json object = to_json(found);
    if (!options->commit.empty()) object["commit"] = options->commit;
    file << object.dump(1) << '\n';
    if (!file.flush()) throw Error(ErrorCode::io, fmt::format("{}: cannot be written", options->file));
  });
}

}  // namespace ingot::cli
